//! What was given, by flags and variables, becomes typed settings; and what one setting asks of another.

use std::path::PathBuf;

use clap::ArgMatches;
use tasks_api::PublicUrl;

use crate::config::settings::{Command, Identity, Keys, Migration, Public, Settings, Shared};
use crate::config::stop::Stop;
use crate::config::table::{
    AUTHORIZATION_SERVERS, BETTER_AUTH_SECRET, CHANGES_KEEP_DAYS, CHANGES_POLL, COPY, CORS, DATABASE_MAX_CONNECTIONS,
    DATABASE_SCHEMA, DATABASE_TLS, DATABASE_URL, DATABASE_URL_UNPOOLED, EXPORT_TIMEOUT, JWKS_TLS, JWKS_URL,
    JWT_AUDIENCE, JWT_AUDIENCE_CLAIM, JWT_ISSUER, JWT_LEEWAY, JWT_PUBLIC_KEY, JWT_SECRET, JWT_SECRET_PREVIOUS,
    JWT_USER_CLAIM, LISTEN, LOG_FORMAT, MAX_CONNECTIONS, MCP, METRICS_ADDR, MIGRATE_ON_START, MIGRATION, PORT,
    PUBLIC_URL, RATE_LIMIT, RATE_LIMIT_ADDRESS, REQUEST_TIMEOUT, REQUIRE_IF_MATCH, ROLE, RUST_LOG, SERVER_TIMING,
    SHUTDOWN_GRACE, Setting, TRUSTED_PROXIES,
};
use crate::config::values::{
    authorization_server, line, oddity, oddity_of_address, oddity_of_name, oddity_of_secret, role,
};
use crate::edge::bind::{Addresses, Listen};
use crate::edge::limits::LimitSettings;
use crate::edge::log::Log;
use crate::identity::claims::{Expected, ToolTokens};
use crate::identity::key_set::{Pace, is_loopback};
use crate::identity::public_key::PublicKeys;
use crate::identity::secret::{Secret, key_in_place_of_secret};
use crate::storage::settings::DatabaseSettings;

/// The database when none is named, relative to the working directory.
pub(super) const EMBEDDED_DATABASE: &str = "sqlite://data/tasks.db";

/// What was given.
pub(super) struct Given<'a, E> {
    /// The flags, those behind the command first.
    pub(super) matches: [&'a ArgMatches; 2],
    pub(super) environment: E,
}

impl<E: Fn(&str) -> Result<Option<String>, Stop>> Given<'_, E> {
    fn flag<T>(&self, setting: &Setting<T>) -> Option<&str> {
        // A command has only the flags that it needs; to ask it for another is no mistake.
        let mut found =
            self.matches.into_iter().filter_map(|matches| matches.try_get_one::<String>(setting.facts.flag).ok()?);
        found.next().map(String::as_str)
    }

    /// What was given for a setting, as it was written.
    fn text<T>(&self, setting: &Setting<T>) -> Result<Option<String>, Stop> {
        match (self.flag(setting), setting.facts.variable) {
            (Some(text), _) => Ok(Some(text.to_owned())),
            (None, Some(variable)) => Ok((self.environment)(variable)?.filter(|value| !value.is_empty())),
            (None, None) => Ok(None),
        }
    }

    /// Whether something was given for a setting.
    fn is_given<T>(&self, setting: &Setting<T>) -> Result<bool, Stop> {
        self.text(setting).map(|text| text.is_some())
    }

    /// The value of a setting, if it has one.
    pub(super) fn optional<T>(&self, setting: &Setting<T>) -> Result<Option<T>, Stop> {
        self.text(setting)?.map(|text| read(setting, &text, oddity_of_name)).transpose()
    }

    /// The value of a setting that is an address or a name of the issuer's, if it has one.
    fn address<T>(&self, setting: &Setting<T>) -> Result<Option<T>, Stop> {
        self.text(setting)?.map(|text| read(setting, &text, oddity_of_address)).transpose()
    }

    /// The secret of a setting, if it has one.
    fn secret(&self, setting: &Setting<Secret>) -> Result<Option<Secret>, Stop> {
        let Some(text) = self.text(setting)? else { return Ok(None) };
        if let Some(what) = key_in_place_of_secret(&text) {
            return Err(Stop::new(format!(
                "{setting} is {what} and no secret: whoever has the public key could sign tokens with it. A public key goes to \
                 {JWT_PUBLIC_KEY}, the address of published ones to {JWKS_URL}"
            )));
        }
        read(setting, &text, oddity_of_secret).map(Some)
    }

    /// The public keys of a setting, if it has some.
    fn public_keys(&self) -> Result<Option<PublicKeys>, Stop> {
        let setting = &JWT_PUBLIC_KEY;
        let Some(text) = self.text(setting)? else { return Ok(None) };
        // White space at the ends is no part of a key, nor of a path.
        // And a PEM in one line may end with a line break as all its lines do.
        let bare = text.trim().trim_end_matches("\\n").trim_end_matches("\\r");
        let keys = match oddity(bare) {
            Some(reason) => Err(setting.facts.bad_as(reason)),
            None => PublicKeys::read(&text).map_err(|error| setting.facts.bad_as(error)),
        };
        keys.map(Some)
    }

    /// The value of a setting, or its default.
    pub(super) fn required<T>(&self, setting: &Setting<T>) -> Result<T, Stop> {
        match self.optional(setting)? {
            Some(value) => Ok(value),
            None => (setting.parse)(setting.facts.default).ok_or_else(|| setting.facts.bad()),
        }
    }

    pub(super) fn settings(&self) -> Result<Settings, Stop> {
        let public_url: PublicUrl = self.optional(&PUBLIC_URL)?.unwrap_or_default();
        let mut identity = self.identity()?;
        let mcp = self.mcp(&mut identity, &public_url)?;
        Ok(Settings {
            listen: self.listen()?,
            public_url,
            mcp,
            database: self.database()?,
            changes_keep_days: self.required(&CHANGES_KEEP_DAYS)?,
            changes_poll: Some(self.required(&CHANGES_POLL)?).filter(|pause| !pause.is_zero()),
            identity,
            cors: self.optional(&CORS)?,
            requires_condition: self.required(&REQUIRE_IF_MATCH)?,
            request_timeout: self.required(&REQUEST_TIMEOUT)?,
            export_timeout: self.required(&EXPORT_TIMEOUT)?,
            shutdown_grace: self.required(&SHUTDOWN_GRACE)?,
            max_connections: self.required(&MAX_CONNECTIONS)?,
            limits: LimitSettings {
                per_minute: self.required(&RATE_LIMIT)?,
                per_minute_of_an_address: self.required(&RATE_LIMIT_ADDRESS)?,
                trusted_proxies: self.optional(&TRUSTED_PROXIES)?.unwrap_or_default(),
            },
            server_timing: self.required(&SERVER_TIMING)?,
            metrics: self.optional(&METRICS_ADDR)?,
        })
    }

    /// Whether agents are served their tools, and what their tokens must say then.
    fn mcp(&self, identity: &mut Identity, public_url: &PublicUrl) -> Result<bool, Stop> {
        let is_development = identity.keys.is_development();
        let is_on = self.optional(&MCP)?.unwrap_or(is_development);
        if is_development {
            return Ok(is_on);
        }
        if public_url.origin.is_empty() {
            if !is_on {
                return Ok(false);
            }
            return Err(Stop::new(format!(
                "{MCP} is on, and {PUBLIC_URL} is not set: tokens for agents must name its address, with /mcp behind it, in aud"
            )));
        }
        let Expected { audience, issuer, .. } = &identity.expected;
        let servers = &identity.authorization_servers;
        let has_other_issuer = issuer.as_ref().is_some_and(|issuer| !servers.contains(issuer));
        if is_on && audience.is_empty() && !servers.is_empty() && !has_other_issuer {
            return Err(Stop::new(format!(
                "{MCP} is on, and {JWT_AUDIENCE} is not set: tokens that an agent gets for almost the address of its tools would open \
                 the operations. Name the audience of the others, or an issuer of their own ({JWT_ISSUER})"
            )));
        }
        // Also where they are off: what an agent still holds opens nothing else then.
        let (audience, issuers) = (format!("{public_url}/mcp"), identity.authorization_servers.clone());
        identity.expected.tools = Some(ToolTokens { audience, issuers });
        Ok(is_on)
    }

    pub(super) fn listen(&self) -> Result<Listen, Stop> {
        if self.has_sockets() {
            let reason = "systemd hands over the sockets, which go before LISTEN and PORT";
            return Ok(Listen { addresses: Addresses::FromSystemd, reason });
        }
        let mut listen = Listen { addresses: self.required(&LISTEN)?, reason: "LISTEN says so, given or by default" };
        // A variable that the platform sets does not undo an address that a person typed.
        let yields = self.flag(&LISTEN).is_some() && self.flag(&PORT).is_none();
        if let Some(port) = if yields { None } else { self.optional(&PORT)? } {
            listen.addresses = listen.addresses.with_port(port);
            // Who sets a port and no address is mostly a platform, which sends requests from outside.
            if !self.is_given(&LISTEN)? {
                let is_ready = self.has_key()? && self.is_given(&DATABASE_URL)?;
                listen = if is_ready {
                    let reason = "PORT is set and LISTEN is not, and a key and a database are named: all addresses";
                    Listen { addresses: Addresses::All(port), reason }
                } else {
                    let reason = "PORT is set and LISTEN is not, but to be reached from outside the server needs a key \
                                  (JWKS_URL, JWT_PUBLIC_KEY or JWT_SECRET) and a database (DATABASE_URL): this machine alone";
                    Listen { reason, ..listen }
                };
            }
        }
        Ok(listen)
    }

    /// Whether systemd hands over sockets to this process (`sd_listen_fds(3)`).
    fn has_sockets(&self) -> bool {
        let number = |name| (self.environment)(name).ok().flatten().and_then(|text| text.parse::<u32>().ok());
        number("LISTEN_PID") == Some(std::process::id()) && number("LISTEN_FDS").is_some_and(|count| count > 0)
    }

    /// Whether a key is named, so that it is not the development mode's.
    fn has_key(&self) -> Result<bool, Stop> {
        Ok(self.is_given(&JWKS_URL)?
            || self.is_given(&JWT_PUBLIC_KEY)?
            || self.is_given(&JWT_SECRET)?
            || self.is_given(&BETTER_AUTH_SECRET)?)
    }

    /// Whether a default stands for what a person would name to be of use to others: a key, or a database.
    pub(super) fn is_bare(&self, command: &Command) -> Result<bool, Stop> {
        let has_database = self.is_given(&DATABASE_URL)?;
        Ok(match command {
            Command::Serve(_) => !(has_database && self.has_key()?),
            Command::Migrate(..)
            | Command::Purge(..)
            | Command::Epoch(_)
            | Command::Export(..)
            | Command::Erase(..)
            | Command::Backup(..) => !has_database,
            Command::Token { .. } => !self.has_key()?,
            Command::Healthcheck(..) => false,
        })
    }

    /// Whether it is certain that only this machine reaches the server.
    fn is_private(&self) -> Result<bool, Stop> {
        Ok(self.listen()?.addresses.is_loopback())
    }

    /// When a key and a database must be named: the end of a sentence.
    fn beyond(&self) -> String {
        if self.has_sockets() {
            "where systemd hands over the sockets".to_owned()
        } else {
            format!("where {LISTEN} is not a loopback address")
        }
    }

    pub(super) fn database(&self) -> Result<DatabaseSettings, Stop> {
        let migration_url = self.optional(&DATABASE_URL_UNPOOLED)?;
        let url = match self.optional(&DATABASE_URL)? {
            Some(url) => url,
            None if migration_url.is_some() => {
                return Err(Stop::new(format!(
                    "{DATABASE_URL} must be set where {DATABASE_URL_UNPOOLED} is: both name the same database"
                )));
            }
            None if self.is_private()? => EMBEDDED_DATABASE.to_owned(),
            None => {
                return Err(Stop::new(format!(
                    "{DATABASE_URL} must be set {}: the default, a file beside the server, is lost with its container. \
                     Set it to postgresql://…, or to sqlite://… to say that the file stays",
                    self.beyond()
                )));
            }
        };
        Ok(DatabaseSettings {
            migration_url,
            schema: self.optional(&DATABASE_SCHEMA)?,
            max_connections: self.required(&DATABASE_MAX_CONNECTIONS)?,
            tls: self.required(&DATABASE_TLS)?,
            migrate_on_start: self.optional(&MIGRATE_ON_START)?.unwrap_or(url.starts_with("sqlite:")),
            url,
        })
    }

    fn identity(&self) -> Result<Identity, Stop> {
        let keys = self.keys()?;
        if keys.is_development() {
            if keys.previous.is_some() {
                return Err(Stop::new(format!(
                    "{JWT_SECRET_PREVIOUS} is set, and neither {JWT_SECRET} nor another key is: it names the secret before that \
                     one"
                )));
            }
            if !self.is_private()? {
                return Err(Stop::new(format!(
                    "{JWKS_URL} or {JWT_SECRET} must be set {}: where the issuer of tokens publishes its keys, or the \
                     secret, of at least 32 bytes, that it signs them with; or {JWT_PUBLIC_KEY}, where it publishes none. \
                     Without any the server runs in development mode, on a loopback address only",
                    self.beyond()
                )));
            }
        }
        let expected = Expected {
            issuer: self.address(&JWT_ISSUER)?,
            audience: self.address(&JWT_AUDIENCE)?.unwrap_or_default(),
            audience_claim: self.required(&JWT_AUDIENCE_CLAIM)?,
            tools: None,
            user_claim: self.required(&JWT_USER_CLAIM)?,
            leeway: self.required(&JWT_LEEWAY)?,
        };
        if expected.audience_claim != JWT_AUDIENCE_CLAIM.facts.default && expected.audience.is_empty() {
            return Err(Stop::new(format!(
                "{JWT_AUDIENCE_CLAIM} is set, and {JWT_AUDIENCE}, of which that claim must name one, is not"
            )));
        }
        let issuer = expected.issuer.iter().filter(|issuer| authorization_server(issuer));
        let authorization_servers = self.address(&AUTHORIZATION_SERVERS)?.unwrap_or_else(|| issuer.cloned().collect());
        Ok(Identity { keys, expected, authorization_servers })
    }

    /// What tokens are signed with.
    fn keys(&self) -> Result<Keys, Stop> {
        let public = match (self.key_set()?, self.public_keys()?) {
            (Some(_), Some(_)) => {
                return Err(Stop::new(format!(
                    "{JWKS_URL} and {JWT_PUBLIC_KEY} are both set: an issuer that publishes its keys publishes the one that it \
                     signs with, too. Unset {JWT_PUBLIC_KEY}"
                )));
            }
            (set, keys) => set.or(keys.map(Public::Given)),
        };
        let shared = |setting: &Setting<Secret>| -> Result<Option<Shared>, Stop> {
            let secret = self.secret(setting)?;
            Ok(secret.zip(setting.facts.variable).map(|(secret, variable)| Shared { secret, variable }))
        };
        let named = shared(&JWT_SECRET)?;
        // Where it is not needed, it need not be readable either.
        let has_other = self.is_given(&BETTER_AUTH_SECRET).unwrap_or(true);
        let ignores_secret = public.is_some() && named.is_none() && has_other;
        let shared = match named {
            None if public.is_none() => shared(&BETTER_AUTH_SECRET)?,
            named => named,
        };
        Ok(Keys { shared, previous: self.secret(&JWT_SECRET_PREVIOUS)?, public, ignores_secret })
    }

    /// Where the issuer publishes its keys.
    fn key_set(&self) -> Result<Option<Public>, Stop> {
        let is_verified = self.required(&JWKS_TLS)?;
        let Some(url) = self.address(&JWKS_URL)? else { return Ok(None) };
        if is_verified && url.scheme() != "https" && !is_loopback(&url) {
            return Err(JWKS_URL.facts.bad());
        }
        let pace = Pace::default();
        // A request that waits for the keys is to be answered before its own time is over.
        let timeout = pace.timeout.min(self.required(&REQUEST_TIMEOUT)? / 2);
        Ok(Some(Public::Published { url, pace: Pace { timeout, ..pace } }))
    }

    /// As [`Self::identity`], where tokens can be made.
    pub(super) fn signing_identity(&self) -> Result<Identity, Stop> {
        let identity = self.identity()?;
        match &identity.keys {
            Keys { shared: None, public: Some(public), .. } => Err(Stop::new(format!(
                "where {} is set, only the issuer can make tokens: sign in there. For tokens of one's own, start server and \
                 command with {JWT_SECRET} in its place, or without either",
                public.variable()
            ))),
            _ => Ok(identity),
        }
    }

    pub(super) fn log(&self) -> Result<Log, Stop> {
        Ok(Log { filter: self.required(&RUST_LOG)?, format: self.required(&LOG_FORMAT)? })
    }
}

/// What the text of a setting means.
fn read<T>(setting: &Setting<T>, text: &str, oddity: fn(&str) -> Option<&'static str>) -> Result<T, Stop> {
    // A user's id may be anything; it is no setting.
    let odd = setting.facts.variable.and_then(|_| oddity(text));
    match ((setting.parse)(text), odd) {
        (Some(value), None) => Ok(value),
        (Some(_), Some(reason)) => Err(Stop::new(format!("{setting} {reason}"))),
        (None, Some(reason)) => Err(setting.facts.bad_as(reason)),
        (None, None) => Err(setting.facts.bad()),
    }
}

pub(super) fn migration(matches: &ArgMatches) -> Result<Migration, Stop> {
    let name = matches.get_one::<String>(ROLE).map(String::as_str);
    match (matches.get_one::<String>(MIGRATION).map(String::as_str), name) {
        (Some("up"), None) => Ok(Migration::Up),
        (Some("down"), None) => Ok(Migration::Down),
        (Some("status"), None) => Ok(Migration::Status),
        (Some("role"), Some(name)) => role(name).map(Migration::Role).ok_or_else(|| {
            Stop::new(
                "the NAME of migrate role must be that of a role of PostgreSQL: 1 to 63 bytes without control \
                 characters, and none of PostgreSQL's own (pg_…, public, none)",
            )
        }),
        (Some("role"), None) => Err(Stop::new("migrate role takes the name of a role, such as tasks_server")),
        (Some("up" | "down" | "status"), Some(_)) => Err(Stop::new("there is an argument too many")),
        _ => Err(Stop::new("migrate takes up, down, status or role")),
    }
}

pub(super) fn copy(matches: &ArgMatches) -> Result<PathBuf, Stop> {
    let file = matches.get_one::<String>(COPY).and_then(|text| line(text));
    file.map(PathBuf::from).ok_or_else(|| Stop::new("the FILE of backup must be the name of a file"))
}
