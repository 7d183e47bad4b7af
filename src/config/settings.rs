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
use crate::identity::key_set::{Pace, is_loopback};
use crate::identity::public_key::PublicKeys;
use crate::identity::secret::Secret;
use crate::storage::settings::DatabaseSettings;

/// Where the key of the development mode is kept, relative to the working directory.
pub const DEVELOPMENT_KEY: &str = "data/dev-key";

/// What the process was started for.
#[derive(Debug)]
pub struct Invocation {
    /// How to log.
    pub log: Log,
    /// What was passed over while settings were read, in sentences that hold no value.
    pub warnings: Vec<String>,
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
    /// `tasks-server purge`: forget idempotency keys that have expired, and deletions that are older than so many days.
    Purge(DatabaseSettings, u16),
    /// `tasks-server epoch new`: tell a database that was restored from its past.
    Epoch(DatabaseSettings),
    /// `tasks-server export --sub ID`: write down all that is held of a user.
    Export(DatabaseSettings, UserId),
    /// `tasks-server erase --sub ID`: erase all that is held of a user.
    Erase(DatabaseSettings, UserId),
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
        /// For which audience, in place of that: agents'.
        audience: Option<String>,
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
    /// Whether agents are served their tools.
    pub mcp: bool,
    /// Where tasks are stored.
    pub database: DatabaseSettings,
    /// Whose tokens are taken.
    pub identity: Identity,
    /// The pages that may call the server from a browser; with `None`, only those that it serves itself.
    pub cors: Option<Cors>,
    /// The most connections of clients at a time.
    pub max_connections: usize,
    /// For how many days it is known which tasks were deleted: 1 to 3650.
    pub changes_keep_days: u16,
    /// How often it is looked what other processes have changed, while somebody waits for it: 1 to 60 s; with `None`, never.
    pub changes_poll: Option<Duration>,
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
    /// After how long an export is cut off: 1 s to 1 hour.
    pub export_timeout: Duration,
    /// How long requests that run may go on after the signal to stop: 0 to 300 s.
    pub shutdown_grace: Duration,
}

impl Settings {
    /// Whether agents are served their tools: not where they could not learn how to get a token for them.
    #[must_use]
    pub fn serves_tools(&self) -> bool {
        self.mcp && (self.identity.keys.is_development() || !self.identity.authorization_servers.is_empty())
    }
}

/// Whose tokens are taken.
#[derive(Debug)]
pub struct Identity {
    /// What they are signed with.
    pub keys: Keys,
    /// What they must say.
    pub expected: Expected,
    /// The issuers of those for the tools of agents, as far as they are known.
    pub authorization_servers: Vec<String>,
}

/// What tokens are signed with: secrets, public keys, or, during a move, both. Without any of them it is the key of the
/// development mode, [`DEVELOPMENT_KEY`], and only ever on a loopback address.
#[derive(Debug, Default)]
pub struct Keys {
    /// The secret that the issuer has, too.
    pub shared: Option<Shared>,
    /// The secret before it, whose tokens are still taken. Never alone.
    pub previous: Option<Secret>,
    /// The issuer's public keys.
    pub public: Option<Public>,
    /// Whether a secret is given too, under Better Auth's name, which goes unused: for the log.
    pub ignores_secret: bool,
}

/// A secret that the issuer has, too.
#[derive(Debug)]
pub struct Shared {
    /// The secret.
    pub secret: Secret,
    /// The variable that gave it, or whose flag did: for the log.
    pub variable: &'static str,
}

/// Where public keys come from.
#[derive(Debug)]
pub enum Public {
    /// From the set that the issuer publishes.
    Published {
        /// Where: `https`, or `http` on loopback, or, with `JWKS_TLS=off`, any `http`.
        url: Url,
        /// When it is fetched.
        pace: Pace,
    },
    /// From the setting itself.
    Given(PublicKeys),
}

impl Public {
    /// The variable that gave it, or whose flag did.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        match self {
            Self::Published { .. } => "JWKS_URL",
            Self::Given(_) => "JWT_PUBLIC_KEY",
        }
    }

    /// Whether whoever is on the way to the keys can put others in their place.
    #[must_use]
    pub fn is_in_plain_text(&self) -> bool {
        matches!(self, Self::Published { url, .. } if url.scheme() == "http" && !is_loopback(url))
    }
}

impl Keys {
    /// Keys of a set that the issuer publishes there, alone.
    #[must_use]
    pub fn published(url: Url, pace: Pace) -> Self {
        Self { public: Some(Public::Published { url, pace }), ..Self::default() }
    }

    /// Whether none is given, so that the key of the development mode is taken.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.shared.is_none() && self.public.is_none()
    }

    /// How somebody at Swagger UI gets a token, in Markdown.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self { public: Some(_), .. } => {
                "**To get one here**: sign in to the sign-in system whose keys this server trusts, and ask it for a \
                 JSON Web Token. With Better Auth, open `/api/auth/token` of your application in the same browser \
                 and copy `token` (not the session cookie); with Neon Auth it is the result of `token()`, with Clerk \
                 of `getToken()`, with Auth0, Keycloak and Supabase the access token."
            }
            Self { shared: Some(_), .. } => {
                "**To get one here**: sign in to the application that shares its secret with this server, and take the \
                 JSON Web Token that it sends; or run `tasks-server token --sub alice` with the settings of this server \
                 (`JWT_SECRET`, and `JWT_ISSUER`, `JWT_AUDIENCE` and `JWT_USER_CLAIM` where they are set)."
            }
            Self { .. } => {
                "**To get one here** (development mode): copy the token that the server printed when it started, or run \
                 `tasks-server token --sub alice` in the folder where it runs."
            }
        }
    }
}
