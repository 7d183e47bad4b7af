//! The server behind the contract of [`tasks_api`].
//!
//! A request comes in at the [`edge`], is routed and authorized by the contract, which asks [`identity`] who calls, and goes
//! on one way: [`tasks`] → [`storage`]. [`cli`] reads the settings ([`config`]) and opens a [`Server`]; `README.md` beside
//! this file tells the architecture and its reasons.

pub mod cli;
#[cfg(test)]
#[expect(dead_code, reason = "the tests over HTTP need more of it")]
#[path = "../tests/support/cluster.rs"]
mod cluster;
pub mod config;
pub mod edge;
pub mod identity;
#[cfg(test)]
#[expect(dead_code, reason = "the tests among faults need more of it")]
#[path = "../tests/support/pgbouncer.rs"]
mod pgbouncer;
pub mod storage;
pub mod tasks;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "otlp")]
use futures_util::future::OptionFuture;
use tasks_api::{McpOptions, McpRefusals, Options, Origins};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::config::{DEVELOPMENT_KEY, Identity, Public, Settings};
use crate::edge::cors;
use crate::edge::limits::Limits;
use crate::edge::listener;
use crate::edge::metrics::{self, Figures, Metrics};
#[cfg(feature = "otlp")]
use crate::edge::otlp::{Traces, TracesError};
use crate::edge::request::{Edge, Rules};
use crate::identity::claims::SUBJECT;
use crate::identity::secret::{DevelopmentKeyError, development_key};
use crate::identity::token::Verifier;
use crate::storage::database::Database;
use crate::storage::failure::StorageError;
use crate::storage::schema::PrepareError;
use crate::storage::settings::OpenError;
use crate::tasks::repository::Repository;
use crate::tasks::service::{Clock, Tasks};

/// How long a start waits for the database.
const PREPARE: Duration = Duration::from_secs(5);

/// How much sooner than a request is given up one is answered that waits for changes.
const MARGIN: Duration = Duration::from_secs(1);

/// A server whose settings are good and whose database is prepared, or away.
pub struct Server {
    database: Database,
    verifier: Verifier,
    settings: Settings,
    clock: Clock,
    #[cfg(feature = "otlp")]
    traces: Option<Traces>,
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
    /// There is no key of the development mode.
    #[error(transparent)]
    DevelopmentKey(#[from] DevelopmentKeyError),
    /// Nothing can be fetched.
    #[error("the system's cryptography or certificates cannot be used, so that nothing can be fetched from JWKS_URL")]
    KeySet(#[source] reqwest::Error),
    /// There can be no traces.
    #[cfg(feature = "otlp")]
    #[error(transparent)]
    Traces(#[from] TracesError),
}

impl Server {
    /// Opens the database, sees to its schema, and begins to fetch the issuer's keys. A database or an issuer that is
    /// away does not stop the start: requests are answered 503 until it is back.
    ///
    /// # Errors
    /// When the database's settings are unusable, its schema is behind and may not be changed, or there is no key for
    /// tokens.
    pub async fn open(settings: Settings) -> Result<Self, StartError> {
        let verifier = verifier(&settings.identity)?;
        let database = Database::open(&settings.database)?;
        // Whoever watches over the process wants to hear from it soon.
        let prepared = timeout(PREPARE, database.prepare()).await;
        match prepared.unwrap_or_else(|_| Err(PrepareError::Away(StorageError::silent()))) {
            Err(PrepareError::Away(cause)) => {
                tracing::warn!(%cause, "the database cannot be used: requests are answered 503 until it can");
            }
            prepared => prepared?,
        }
        #[cfg(not(feature = "otlp"))]
        if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some_and(|value| !value.is_empty()) {
            tracing::warn!("OTEL_EXPORTER_OTLP_ENDPOINT is set, but this program was built without the feature otlp");
        }
        Ok(Self {
            database,
            verifier,
            settings,
            clock: Clock::system(),
            #[cfg(feature = "otlp")]
            traces: Traces::start()?,
        })
    }

    /// Takes the time of tasks from another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Serves until `stop` is done, then ends running requests in order. Figures are served on `metrics`, if there is one.
    pub async fn serve(
        self,
        listeners: Vec<TcpListener>,
        metrics: Option<TcpListener>,
        stop: impl Future<Output = ()>,
    ) {
        let Self { database, verifier, settings, clock, .. } = self;
        let verifier = Arc::new(verifier);
        // Who waits is answered before the request is given up.
        let patience = settings.request_timeout.saturating_sub(MARGIN).max(settings.request_timeout / 2);
        let repository = Repository::new(database.clone());
        let tasks =
            Arc::new(Tasks::new(repository, clock, settings.changes_keep_days, patience, settings.export_timeout));
        let looks = settings.changes_poll.map(|pause| {
            let tasks = Arc::clone(&tasks);
            tokio::spawn(async move { tasks.look(pause).await })
        });
        let options = Options {
            advice: settings.identity.keys.advice(),
            requires_condition: settings.requires_condition,
            public_url: settings.public_url.clone(),
            mcp: mcp(&settings),
        };
        let routes = tasks_api::routes(Arc::clone(&tasks), Arc::clone(&verifier), &options);
        let limits = Arc::new(Limits::new(&settings.limits));
        let kept = Arc::new(Metrics::new(metrics.is_some()));
        let most = listener::places(settings.max_connections, settings.database.max_connections as usize);
        let rules = Rules {
            timeout: settings.request_timeout,
            cors: settings.cors,
            mcp: options.mcp.as_ref().map(|mcp| McpRefusals::new(mcp, &settings.public_url)),
            public_url: settings.public_url,
            tells_time: settings.server_timing,
            #[cfg(feature = "otlp")]
            traces: self.traces.clone(),
        };
        let edge = Edge::new(routes, rules, Arc::clone(&limits), Arc::clone(&kept));
        let metrics = metrics.map(|listener| {
            let (database, bodies) = (database.clone(), Arc::clone(edge.bodies()));
            let figures = move || Figures {
                connections_max: most,
                bodies: bodies.held(),
                limited: limits.refused(),
                sessions: database.sessions(),
                keys: verifier.figures(),
            };
            tokio::spawn(metrics::serve(listener, kept, figures))
        });
        let grace = settings.shutdown_grace;
        let stop = async {
            stop.await;
            tasks.end_waiting();
            // Who waits for the database then is told, and not cut off.
            let database = database.clone();
            tokio::spawn(async move {
                sleep(grace.mul_f32(0.8)).await;
                database.stop();
            });
        };
        listener::serve(listeners, edge, most, stop, grace).await;
        let close = database.close(Duration::from_secs(1));
        #[cfg(feature = "otlp")]
        let close = async { tokio::join!(close, OptionFuture::from(self.traces.map(Traces::close))) };
        close.await;
        for beside in [metrics, looks].into_iter().flatten() {
            beside.abort();
        }
    }
}

/// How the tools of agents are served, if they are. Where they are not, although it was asked for, that is logged.
fn mcp(settings: &Settings) -> Option<McpOptions> {
    if !settings.serves_tools() {
        if settings.mcp {
            tracing::warn!(
                "MCP is on, and neither AUTHORIZATION_SERVERS nor an address as JWT_ISSUER says where agents get tokens: /mcp stays off"
            );
        }
        return None;
    }
    let is_development = settings.identity.keys.is_development();
    if settings.public_url.origin.starts_with("http://") && !cors::is_loopback(&settings.public_url.origin) {
        tracing::warn!("MCP is on, and PUBLIC_URL is http: agents' tokens cross the network in plain text");
    }
    let (own, listed) = (settings.public_url.origin.clone(), settings.cors.clone());
    Some(McpOptions {
        authorization_servers: settings.identity.authorization_servers.clone(),
        origins: Origins(Arc::new(move |origin| {
            (origin == own && !own.is_empty())
                || listed.as_ref().is_some_and(|listed| listed.lists(origin))
                || (is_development && cors::is_loopback(origin))
        })),
    })
}

/// What verifies the tokens of this identity. What its settings leave open is logged.
fn verifier(identity: &Identity) -> Result<Verifier, StartError> {
    let Identity { keys, expected, .. } = identity;
    if expected.user_claim != SUBJECT && expected.issuer.is_none() {
        tracing::warn!(
            "JWT_USER_CLAIM is set and JWT_ISSUER is not: users of two issuers with one id would be one person"
        );
    }
    if keys.is_development() {
        if expected.issuer.is_some() || !expected.audience.is_empty() {
            tracing::warn!(
                "JWT_ISSUER or JWT_AUDIENCE is set, but no key (JWKS_URL, JWT_PUBLIC_KEY or JWT_SECRET): development mode"
            );
        }
        return Ok(Verifier::shared(&development_key(Path::new(DEVELOPMENT_KEY))?, expected.clone()));
    }
    if expected.audience.is_empty() {
        tracing::warn!(
            "JWT_AUDIENCE is not set: tokens that were made for other servers, or for another purpose, are taken too"
        );
    }
    let verifier = match &keys.public {
        None => Verifier::new(expected.clone()),
        Some(public) => {
            let variable = public.variable();
            if keys.ignores_secret {
                tracing::info!(
                    "{variable} is set: BETTER_AUTH_SECRET is not used, and no token signed with it is taken"
                );
            }
            if keys.shared.is_some() || keys.previous.is_some() {
                tracing::info!("{variable} and a secret are set: tokens of either are taken, as during a move");
            }
            if expected.issuer.is_none() {
                tracing::warn!("JWT_ISSUER is not set: any token that these keys signed is taken, whatever its iss");
            }
            if public.is_in_plain_text() {
                tracing::warn!(
                    "JWKS_TLS=off: the keys come in plain text, and whoever is on the way to them can put others in their place"
                );
            }
            match public {
                Public::Published { url, pace } => {
                    Verifier::published(url.clone(), pace.clone(), expected.clone()).map_err(StartError::KeySet)?
                }
                Public::Given(given) => {
                    for reason in given.left_out() {
                        tracing::warn!("a key of JWT_PUBLIC_KEY is left out: {reason}");
                    }
                    Verifier::given(given.clone(), expected.clone())
                }
            }
        }
    };
    let secrets = keys.shared.iter().map(|shared| &shared.secret).chain(&keys.previous);
    Ok(secrets.fold(verifier, Verifier::or_shared))
}
