//! What the process was started for, in types.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use tasks_api::{PublicUrl, UserId};

use crate::edge::bind::{Addresses, Listen};
use crate::edge::cors::Cors;
use crate::edge::healthcheck::Probe;
use crate::edge::limits::LimitSettings;
use crate::edge::log::Log;
use crate::identity::claims::Expected;
use crate::identity::key_set::Pace;
use crate::identity::secret::Secret;
use crate::storage::settings::DatabaseSettings;

/// Where the key of the development mode is kept, relative to the working directory.
pub const DEVELOPMENT_KEY: &str = "data/dev-key";

/// What the process was started for.
#[derive(Debug)]
pub struct Invocation {
    /// How to log.
    pub log: Log,
    /// What to do.
    pub command: Command,
}

/// The commands, each with the settings that it needs and no others.
#[derive(Debug)]
pub enum Command {
    /// `tasks-server [serve]`: serve the API.
    Serve(Box<Settings>),
    /// `tasks-server migrate …`: look after the schema.
    Migrate(Migration, DatabaseSettings),
    /// `tasks-server purge`: forget idempotency keys that have expired.
    Purge(DatabaseSettings),
    /// `tasks-server backup FILE`: copy the embedded database.
    Backup(PathBuf, DatabaseSettings),
    /// `tasks-server healthcheck [--ready]`: ask the server that listens there how it is.
    Healthcheck(Addresses, Probe),
    /// `tasks-server token --sub ID [--ttl 1h]`: print a token.
    Token {
        /// Whom it stands for; never `me`.
        sub: UserId,
        /// How long it is good: 1 second to 365 days.
        ttl: Duration,
        /// With which key, and for which issuer and audience.
        identity: Box<Identity>,
    },
}

/// What `tasks-server migrate` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Migration {
    /// Applies what is pending.
    Up,
    /// Takes the newest migration back.
    Down,
    /// Lists what is applied and what is pending.
    Status,
    /// Makes a role of this name for running servers.
    Role(String),
}

/// The settings of the server.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: Listen,
    /// Where the world finds the server; empty where it was not said.
    pub public_url: PublicUrl,
    /// Where tasks are stored.
    pub database: DatabaseSettings,
    /// Whose tokens are taken.
    pub identity: Identity,
    /// The pages that may call the server from a browser; with `None`, only those that it serves itself.
    pub cors: Option<Cors>,
    /// The most connections of clients at a time.
    pub max_connections: usize,
    /// How many requests a user and an address may send.
    pub limits: LimitSettings,
    /// Whether answers say how long they took, and how much of it was the database's.
    pub server_timing: bool,
    /// Where figures are read; with `None`, nowhere.
    pub metrics: Option<SocketAddr>,
    /// Whether a write of a task must say, by `If-Match`, on which version it depends.
    pub requires_condition: bool,
    /// After how long a request is given up: 1 to 300 s.
    pub request_timeout: Duration,
    /// How long requests that run may go on after the signal to stop: 0 to 300 s.
    pub shutdown_grace: Duration,
}

/// Whose tokens are taken.
#[derive(Debug)]
pub struct Identity {
    /// What they are signed with.
    pub keys: Keys,
    /// What they must say.
    pub expected: Expected,
}

/// What tokens are signed with.
#[derive(Debug)]
pub enum Keys {
    /// A secret that the issuer has, too.
    Shared {
        /// The secret.
        secret: Secret,
        /// The variable that gave it, or whose flag did: for the log.
        variable: &'static str,
    },
    /// A key of the set that the issuer publishes.
    Published {
        /// Where: `https`, or `http` on loopback.
        url: Url,
        /// When it is fetched.
        pace: Pace,
        /// Whether a secret is given too, under Better Auth's name, which goes unused: for the log.
        ignores_secret: bool,
    },
    /// The key of the development mode, [`DEVELOPMENT_KEY`]. Only ever on a loopback address.
    Development,
}

impl Keys {
    /// How somebody at Swagger UI gets a token, in Markdown.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Development => {
                "**To get one here** (development mode): copy the token that the server printed when it started, or run \
                 `tasks-server token --sub alice` in the folder where it runs."
            }
            Self::Shared { .. } => {
                "**To get one here**: sign in to the application that shares its secret with this server, and take the \
                 JSON Web Token (HS256) that it sends; or run `tasks-server token --sub alice` with the settings of \
                 this server (`JWT_SECRET`, and `JWT_ISSUER` and `JWT_AUDIENCE` where they are set)."
            }
            Self::Published { .. } => {
                "**To get one here**: sign in to the sign-in system whose keys this server trusts, and ask it for a \
                 JSON Web Token. With Better Auth, open `/api/auth/token` of your application in the same browser \
                 and copy `token` (not the session cookie); with Neon Auth it is the result of `token()`, with Clerk \
                 of `getToken()`, with Auth0, Keycloak and Supabase the access token."
            }
        }
    }
}
