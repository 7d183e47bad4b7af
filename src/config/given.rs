//! What was given, by flags and variables, becomes typed settings; and what one setting asks of another.

use std::path::PathBuf;

use clap::ArgMatches;

use crate::config::settings::{Identity, Keys, Migration, Settings};
use crate::config::stop::Stop;
use crate::config::table::{
    BETTER_AUTH_SECRET, COPY, CORS, DATABASE_MAX_CONNECTIONS, DATABASE_SCHEMA, DATABASE_TLS, DATABASE_URL,
    DATABASE_URL_UNPOOLED, JWKS_URL, JWT_AUDIENCE, JWT_ISSUER, JWT_LEEWAY, JWT_SECRET, LISTEN, LOG_FORMAT,
    MAX_CONNECTIONS, METRICS_ADDR, MIGRATE_ON_START, MIGRATION, PORT, PUBLIC_URL, RATE_LIMIT, RATE_LIMIT_ADDRESS,
    REQUEST_TIMEOUT, REQUIRE_IF_MATCH, ROLE, RUST_LOG, SERVER_TIMING, SHUTDOWN_GRACE, Setting, TRUSTED_PROXIES,
};
use crate::config::values::{line, role};
use crate::edge::bind::{Addresses, Listen};
use crate::edge::limits::LimitSettings;
use crate::edge::log::Log;
use crate::identity::claims::Expected;
use crate::identity::key_set::Pace;
use crate::identity::secret::Secret;
use crate::storage::settings::DatabaseSettings;

/// The database when none is named, relative to the working directory.
pub(super) const EMBEDDED_DATABASE: &str = "sqlite://data/tasks.db";

/// What was given.
pub(super) struct Given<'a, E> {
    /// The flags, those behind the command first.
    pub(super) matches: [&'a ArgMatches; 2],
    pub(super) environment: E,
}

impl<E: Fn(&str) -> Option<String>> Given<'_, E> {
    fn flag<T>(&self, setting: &Setting<T>) -> Option<&str> {
        // A command has only the flags that it needs; to ask it for another is no mistake.
        let mut found =
            self.matches.into_iter().filter_map(|matches| matches.try_get_one::<String>(setting.facts.flag).ok()?);
        found.next().map(String::as_str)
    }

    /// What was given for a setting, as it was written.
    fn text<T>(&self, setting: &Setting<T>) -> Option<String> {
        let variable = || setting.facts.variable.and_then(&self.environment).filter(|value| !value.is_empty());
        self.flag(setting).map(str::to_owned).or_else(variable)
    }

    /// The value of a setting, if it has one.
    fn optional<T>(&self, setting: &Setting<T>) -> Result<Option<T>, Stop> {
        self.text(setting).map(|text| (setting.parse)(&text).ok_or_else(|| setting.facts.bad())).transpose()
    }

    /// The value of a setting, or its default.
    pub(super) fn required<T>(&self, setting: &Setting<T>) -> Result<T, Stop> {
        match self.optional(setting)? {
            Some(value) => Ok(value),
            None => (setting.parse)(setting.facts.default).ok_or_else(|| setting.facts.bad()),
        }
    }

    pub(super) fn settings(&self) -> Result<Settings, Stop> {
        Ok(Settings {
            listen: self.listen()?,
            public_url: self.optional(&PUBLIC_URL)?.unwrap_or_default(),
            database: self.database()?,
            identity: self.identity()?,
            cors: self.optional(&CORS)?,
            requires_condition: self.required(&REQUIRE_IF_MATCH)?,
            request_timeout: self.required(&REQUEST_TIMEOUT)?,
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
            if self.text(&LISTEN).is_none() {
                let keys = [self.text(&JWKS_URL), self.text(&JWT_SECRET), self.text(&BETTER_AUTH_SECRET)];
                let has_key = keys.iter().any(Option::is_some);
                let is_ready = has_key && self.text(&DATABASE_URL).is_some();
                listen = if is_ready {
                    let reason = "PORT is set and LISTEN is not, and a key and a database are named: all addresses";
                    Listen { addresses: Addresses::All(port), reason }
                } else {
                    let reason = "PORT is set and LISTEN is not, but to be reached from outside the server needs a key \
                                  (JWKS_URL or JWT_SECRET) and a database (DATABASE_URL): this machine alone";
                    Listen { reason, ..listen }
                };
            }
        }
        Ok(listen)
    }

    /// Whether systemd hands over sockets to this process (`sd_listen_fds(3)`).
    fn has_sockets(&self) -> bool {
        let number = |name| (self.environment)(name).and_then(|text| text.parse::<u32>().ok());
        number("LISTEN_PID") == Some(std::process::id()) && number("LISTEN_FDS").is_some_and(|count| count > 0)
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
        let shared = |setting: &Setting<Secret>| -> Result<Option<Keys>, Stop> {
            let secret = self.optional(setting)?;
            Ok(secret.zip(setting.facts.variable).map(|(secret, variable)| Keys::Shared { secret, variable }))
        };
        let keys = match (self.optional(&JWKS_URL)?, shared(&JWT_SECRET)?) {
            (Some(_), Some(_)) => {
                return Err(Stop::new(format!(
                    "{JWKS_URL} and {JWT_SECRET} are both set: tokens are signed either with a key that the issuer \
                     publishes or with a shared secret. Unset one",
                )));
            }
            (Some(url), None) => {
                let ignores_secret = self.text(&BETTER_AUTH_SECRET).is_some();
                let pace = Pace::default();
                // A request that waits for the keys is to be answered before its own time is over.
                let timeout = pace.timeout.min(self.required(&REQUEST_TIMEOUT)? / 2);
                Some(Keys::Published { url, pace: Pace { timeout, ..pace }, ignores_secret })
            }
            (None, Some(keys)) => Some(keys),
            (None, None) => shared(&BETTER_AUTH_SECRET)?,
        };
        let keys = match keys {
            Some(keys) => keys,
            None if self.is_private()? => Keys::Development,
            None => {
                return Err(Stop::new(format!(
                    "{JWKS_URL} or {JWT_SECRET} must be set {}: where the issuer of tokens publishes its keys, or the \
                     secret, of at least 32 bytes, that it signs them with. Without either the server runs in \
                     development mode, on a loopback address only",
                    self.beyond()
                )));
            }
        };
        let expected = Expected {
            issuer: self.optional(&JWT_ISSUER)?,
            audience: self.optional(&JWT_AUDIENCE)?,
            leeway: self.required(&JWT_LEEWAY)?,
        };
        Ok(Identity { keys, expected })
    }

    /// As [`Self::identity`], where tokens can be made.
    pub(super) fn signing_identity(&self) -> Result<Identity, Stop> {
        let identity = self.identity()?;
        match identity.keys {
            Keys::Shared { .. } | Keys::Development => Ok(identity),
            Keys::Published { .. } => Err(Stop::new(format!(
                "where {JWKS_URL} is set, only the issuer can make tokens: sign in there. For tokens of one's own, start \
                 server and command without it",
            ))),
        }
    }

    pub(super) fn log(&self) -> Result<Log, Stop> {
        Ok(Log { filter: self.required(&RUST_LOG)?, format: self.required(&LOG_FORMAT)? })
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
