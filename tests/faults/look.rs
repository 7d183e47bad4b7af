//! The tests' own look at a database, past the server.

use std::collections::HashMap;

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// A session that the counts of sessions leave out.
pub(crate) struct Look(Client);

/// The server's sessions with the database that is looked at.
const SESSIONS: &str = "FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'look'
     AND backend_type = 'client backend'";

impl Look {
    pub(crate) async fn at(url: &str) -> Self {
        let mut config: Config = url.parse().unwrap();
        let (client, connection) = config.application_name("look").connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    /// Runs statements whose answers do not matter.
    pub(crate) async fn run(&self, statements: &str) {
        self.0.batch_execute(statements).await.unwrap_or_else(|e| panic!("{statements}: {e:?}"));
    }

    /// The rows of an answer, as text.
    pub(crate) async fn rows(&self, query: &str) -> Vec<Vec<String>> {
        let messages = self.0.simple_query(query).await.unwrap_or_else(|e| panic!("{query}: {e:?}"));
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|n| row.get(n).unwrap_or_default().to_owned()).collect())
            }
            _ => None,
        });
        rows.collect()
    }

    /// The one number of an answer.
    pub(crate) async fn number(&self, query: &str) -> usize {
        self.rows(query).await[0][0].parse().unwrap()
    }

    /// How many sessions the server has.
    pub(crate) async fn sessions(&self) -> usize {
        self.number(&format!("SELECT count(*) {SESSIONS}")).await
    }

    /// How many of them wait for a lock.
    pub(crate) async fn waiting(&self) -> usize {
        self.number(&format!("SELECT count(*) {SESSIONS} AND wait_event_type = 'Lock'")).await
    }

    /// How many of them do something, or are in the middle of a transaction.
    pub(crate) async fn busy(&self) -> usize {
        self.number(&format!("SELECT count(*) {SESSIONS} AND state <> 'idle'")).await
    }

    /// Ends the server's sessions.
    pub(crate) async fn terminate(&self) {
        self.rows(&format!("SELECT pg_terminate_backend(pid) {SESSIONS}")).await;
    }

    /// All tasks: the titles by their ids.
    pub(crate) async fn tasks(&self) -> HashMap<String, String> {
        let rows = self.rows("SELECT id, title FROM tasks").await.into_iter();
        rows.map(|row| (row[0].clone(), row[1].clone())).collect()
    }
}
