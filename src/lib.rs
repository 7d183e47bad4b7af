//! The server behind the contract of [`tasks_api`].
//!
//! A request comes in at [`http`], is routed and authorized by the contract, and goes on one way: [`service`] →
//! [`repository`] → [`model`]. `main.rs` reads the settings ([`config`]) and calls this crate; `README.md` beside it
//! tells the architecture and its reasons.

pub mod config;
pub mod database;
pub mod http;
pub mod log;
pub mod model;
mod pool;
pub mod repository;
pub mod service;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use poem::listener::TcpAcceptor;
use tokio::net::TcpListener;

use crate::config::Settings;
use crate::database::{Database, OpenError, PrepareError};
use crate::http::Edge;
use crate::repository::Repository;
use crate::service::Tasks;
use crate::token::{Secret, Verifier};

/// A server whose settings are good and whose database is prepared, or away.
pub struct Server {
    database: Database,
    verifier: Verifier,
    settings: Settings,
}

/// Why a server cannot start. Texts name settings, never their values.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings name no usable database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The database's schema does not fit.
    #[error(transparent)]
    Schema(#[from] PrepareError),
}

impl Server {
    /// Opens the database and sees to its schema; `secret` is what tokens are signed with. A database that is away does
    /// not stop the start: requests are answered 503 until it is back.
    ///
    /// # Errors
    /// When the database's settings are unusable, or its schema is behind and may not be changed.
    pub async fn open(settings: Settings, secret: &Secret) -> Result<Self, StartError> {
        let database = Database::open(&settings.database)?;
        match database.prepare().await {
            Err(PrepareError::Away(cause)) => {
                tracing::warn!(%cause, "the database cannot be used: requests are answered 503 until it can");
            }
            prepared => prepared?,
        }
        let verifier = Verifier::shared(secret, settings.identity.expected.clone());
        Ok(Self { database, verifier, settings })
    }

    /// Serves until `stop` is done, then ends running requests in order.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let Self { database, verifier, settings } = self;
        let tasks = Tasks::new(Repository::new(database.clone()));
        let routes = tasks_api::routes(Arc::new(tasks), Arc::new(verifier));
        let edge = Edge::new(routes, settings.request_timeout, settings.cors);
        let grace = settings.shutdown_grace;
        let served = poem::Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?)
            .run_with_graceful_shutdown(edge, stop, Some(grace))
            .await;
        database.close(Duration::from_secs(1)).await;
        served
    }
}
