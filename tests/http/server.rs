//! A server of this crate, in this process, on a database and a port of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::Value;

use tasks_api::UserId;
use tasks_server::Server as App;
use tasks_server::config::{Command, Identity, Keys, Settings, parse};
use tasks_server::identity::claims::Expected;
use tasks_server::identity::key_set::Pace;
use tasks_server::identity::secret::{Secret, mint};
use tasks_server::storage::database::Database;
use tasks_server::tasks::service::Clock;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::client::Client;
use crate::issuer::{AUDIENCE, ISSUER, Issuer};
use crate::postgres;

/// Where the world finds a server with tools.
pub(crate) const ORIGIN: &str = "https://tasks.example";

/// Who gives tokens for them.
pub(crate) const AUTH: &str = "https://auth.example/api/auth";

/// The secret that the servers of the tests share with whoever signs their tokens.
pub(crate) const SECRET: &str = "the secret of the tests, 32 bytes and more";

pub(crate) struct Server {
    base: String,
    url: String,
    _stop: oneshot::Sender<()>,
    _folder: Option<TempDir>,
    /// Whom the operations' tokens are for.
    audience: Option<&'static str>,
}

impl Server {
    /// On an embedded database of its own.
    pub(crate) async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("tasks.db").display());
        Self::start(&url, Some(folder)).await
    }

    /// On a PostgreSQL database of its own; `None` when PostgreSQL is not installed.
    pub(crate) async fn on_postgres() -> Option<Self> {
        let url = postgres::database().await?;
        Some(Self::start(&url, None).await)
    }

    /// On an embedded database of its own, with the keys that this issuer publishes.
    pub(crate) async fn trusting(issuer: &Issuer, pace: Pace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&format!("sqlite://{}", folder.path().join("tasks.db").display()));
        settings.identity = Identity {
            keys: Keys::published(issuer.url.parse().unwrap(), pace),
            expected: Expected {
                issuer: Some(ISSUER.to_owned()),
                audience: vec![AUDIENCE.to_owned()],
                leeway: Duration::from_secs(15),
                ..Expected::default()
            },
            authorization_servers: vec![],
        };
        Self::serve(settings, Some(folder)).await
    }

    /// On an embedded database of its own, taking no write of a task without a condition.
    pub(crate) async fn insisting() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&format!("sqlite://{}", folder.path().join("tasks.db").display()));
        settings.requires_condition = true;
        Self::serve(settings, Some(folder)).await
    }

    /// On an embedded database of its own, with these variables set too; an empty one counts as not set.
    pub(crate) async fn given(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("tasks.db").display());
        Self::serve(settings_given(&url, variables), Some(folder)).await
    }

    /// On the database at this URL.
    pub(crate) async fn start(url: &str, folder: Option<TempDir>) -> Self {
        Self::serve(settings(url), folder).await
    }

    /// Another server on the same database, with a clock of its own.
    pub(crate) async fn beside(&self, clock: Clock) -> Self {
        Self::serve_by(clock, settings(&self.url), None).await
    }

    /// Another server on the same database, which serves agents their tools, with these variables set too.
    pub(crate) async fn with_tools(&self, more: &[(&str, &str)]) -> Self {
        let tools = [("MCP", "on"), ("PUBLIC_URL", ORIGIN), ("AUTHORIZATION_SERVERS", AUTH), ("JWT_AUDIENCE", "tasks")];
        let given = |(name, _): &&(&str, &str)| !more.iter().any(|(more, _)| more == name);
        let variables: Vec<_> = more.iter().chain(tools.iter().filter(given)).copied().collect();
        Self { audience: Some("tasks"), ..Self::serve(settings_given(&self.url, &variables), None).await }
    }

    async fn serve(settings: Settings, folder: Option<TempDir>) -> Self {
        Self::serve_by(Clock::system(), settings, folder).await
    }

    async fn serve_by(clock: Clock, settings: Settings, folder: Option<TempDir>) -> Self {
        let url = settings.database.url.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = App::open(settings).await.unwrap().with_clock(clock);
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            app.serve(vec![listener], None, stopped).await;
        });
        Self { base, url, _stop: stop, _folder: folder, audience: None }
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// The address of the server's database, as the server uses it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The owner's address of the server's database, past any pooler: for the tests' own sessions.
    pub(crate) fn direct(&self) -> String {
        postgres::direct(&self.url).unwrap_or_else(|| self.url.clone())
    }

    /// The server's database, as another process would open it.
    pub(crate) fn database(&self) -> Database {
        Database::open(&settings(&self.url).database).unwrap()
    }

    /// A client with a good token of this user, whose paths name the user.
    pub(crate) fn user(&self, name: &str) -> Client {
        Client::new(&self.base, name, Some(self.token(name)))
    }

    /// A client with a good token of this user, which finds the server under this path.
    pub(crate) fn user_below(&self, prefix: &str, name: &str) -> Client {
        Client::new(&format!("{}{prefix}", self.base), name, Some(self.token(name)))
    }

    /// A client without a token.
    pub(crate) fn nobody(&self) -> Client {
        Client::new(&self.base, "alice", None)
    }

    /// A client with this token.
    pub(crate) fn with_token(&self, token: &str) -> Client {
        Client::new(&self.base, "alice", Some(token.to_owned()))
    }

    /// A token of this user for these audiences.
    pub(crate) fn token_for(&self, name: &str, audience: &Value) -> String {
        self.token_saying(serde_json::json!({ "sub": name, "aud": audience, "iss": AUTH }))
    }

    /// A token that says this.
    #[expect(clippy::unused_self, reason = "a token is the server's")]
    pub(crate) fn token_saying(&self, mut claims: Value) -> String {
        claims["exp"] = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600).into();
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
    }

    /// A good token of this user.
    pub(crate) fn token(&self, name: &str) -> String {
        mint(&secret(), &name.parse::<UserId>().unwrap(), Duration::from_hours(1), None, self.audience).unwrap()
    }
}

/// The settings of a test's server, from the variables that a person would set.
pub(crate) fn settings(url: &str) -> Settings {
    settings_given(url, &[])
}

/// The same, with these variables too.
fn settings_given(url: &str, more: &[(&str, &str)]) -> Settings {
    let variables = |name: &str| match name {
        name if more.iter().any(|(variable, _)| *variable == name) => {
            more.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        }
        "DATABASE_URL" => Some(url.to_owned()),
        "DATABASE_URL_UNPOOLED" => postgres::direct(url),
        "JWT_SECRET" => Some(SECRET.to_owned()),
        "CORS_ALLOWED_ORIGINS" => Some("https://app.example,http://localhost:3000".to_owned()),
        "DATABASE_MAX_CONNECTIONS" => Some("5".to_owned()),
        "RATE_LIMIT_PER_MINUTE" | "RATE_LIMIT_PER_MINUTE_ADDRESS" => Some("0".to_owned()),
        _ => None,
    };
    match parse(["tasks-server"], variables).unwrap().command {
        Command::Serve(settings) => *settings,
        other => panic!("{other:?}"),
    }
}

fn secret() -> Secret {
    Secret::new(SECRET.into()).unwrap()
}

/// Brings the database at this URL to the current schema.
pub(crate) async fn migrate(url: &str) {
    Database::open(&settings(url).database).unwrap().migrate_up().await.unwrap();
}

/// Makes a role for servers on the database at this URL.
pub(crate) async fn make_role(url: &str, name: &str) {
    Database::open(&settings(url).database).unwrap().make_role(name).await.unwrap();
}
