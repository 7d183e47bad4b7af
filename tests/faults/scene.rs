//! What most faults of the way to the database begin with.

use crate::load::{Tally, User};
use crate::parts::Base;
use crate::relay::Relay;
use crate::server::Server;

/// A server behind a relay, with a user who has a task.
pub(crate) struct Scene {
    pub(crate) base: Base,
    pub(crate) relay: Relay,
    pub(crate) server: Server,
    pub(crate) user: User,
    pub(crate) id: String,
    pub(crate) tally: Tally,
}

impl Scene {
    pub(crate) async fn new() -> Option<Self> {
        Self::with(&[]).await
    }

    /// With these variables beside the address of the database.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Option<Self> {
        let base = Base::new().await?;
        let relay = Relay::to(base.cluster.port()).await;
        let url = relay.url(&base.name);
        let server = Server::with(&[variables, &[("DATABASE_URL", &url)]].concat()).await;
        let tally = Tally::default();
        let user = server.user("alice", &tally);
        let id = user.counted(&Tally::default()).made("x").await;
        Some(Self { base, relay, server, user, id, tally })
    }
}
