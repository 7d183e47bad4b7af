//! Settings: flags, environment and a `.env` file, in this order of precedence.
//!
//! [`load`] runs before anything else and either gives a typed [`Invocation`] or the [`Stop`] that ends the process.
//! Each setting of the table below is a flag, a variable, a line of `--help` and a sentence about what is expected.
//! A value that is not as expected stops the start and is never shown: it may be a secret, or one in the wrong place.
//! That is why flags reach us as plain text and are read here, and not by the argument parser, which repeats in its
//! messages what it was given.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;
use std::{env, fs};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches};
use poem::http::HeaderValue;
use reqwest::Url;
use tasks_api::UserId;
use tracing_subscriber::EnvFilter;

use crate::edge::cors::Cors;
use crate::edge::log::{Log, LogFormat};
use crate::identity::claims::{Expected, subject};
use crate::identity::key_set::Pace;
use crate::identity::secret::Secret;
use crate::storage::settings::{DatabaseSettings, DatabaseTls};

/// Where the key of the development mode is kept, relative to the working directory.
pub const DEVELOPMENT_KEY: &str = "data/dev-key";

/// The database when none is named, relative to the working directory.
const EMBEDDED_DATABASE: &str = "sqlite://data/tasks.db";

/// The file of variables in the working directory.
const ENV_FILE: &str = ".env";

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
    /// The address to listen on; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where tasks are stored.
    pub database: DatabaseSettings,
    /// Whose tokens are taken.
    pub identity: Identity,
    /// The pages that may call the server from a browser; with `None`, only those that it serves itself.
    pub cors: Option<Cors>,
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

/// Why the process ends before it has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    text: String,
    /// Whether the text was asked for (`--help`, `--version`).
    is_wanted: bool,
}

impl Stop {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_wanted: false }
    }

    /// Prints the text: on standard output with status 0 when it was asked for, else on standard error with status 2.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        // There is nobody left to tell that nobody listens.
        if self.is_wanted {
            let _ = io::stdout().write_all(self.text.as_bytes());
            ExitCode::SUCCESS
        } else {
            let _ = writeln!(io::stderr(), "tasks-server: {self}");
            ExitCode::from(2)
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Stop {}

impl From<clap::Error> for Stop {
    /// In our words: the parser's own would repeat whatever was typed, also a secret behind a mistyped flag.
    fn from(error: clap::Error) -> Self {
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            Some(ContextValue::Strings(texts)) => texts.join(", "),
            _ => String::new(),
        };
        let argument = context(ContextKind::InvalidArg);
        let text = match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                return Self { text: error.render().to_string(), is_wanted: true };
            }
            ErrorKind::UnknownArgument => {
                let suggestion = context(ContextKind::SuggestedArg);
                match (is_flag(&argument), suggestion.as_str()) {
                    (true, "") => format!("there is no flag {argument}"),
                    (true, flag) => format!("there is no flag {argument}; did you mean {flag}?"),
                    (false, _) => "there is an argument too many".to_owned(),
                }
            }
            ErrorKind::InvalidSubcommand => {
                "there is no such command: it is serve, migrate, purge, backup or token".to_owned()
            }
            ErrorKind::InvalidValue => format!("{argument} needs a value"),
            ErrorKind::ArgumentConflict => format!("{argument} is given more than once"),
            ErrorKind::MissingRequiredArgument => format!("{argument} is missing"),
            _ => "the arguments are not understood".to_owned(),
        };
        Self::new(format!("{text} (see tasks-server --help)"))
    }
}

/// Whether a text is written like one of our flags, and not like a secret that starts with hyphens.
fn is_flag(text: &str) -> bool {
    let name = text.strip_prefix("--").unwrap_or_default();
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// A setting, from its flag and variable to what is said about it.
#[derive(Clone, Copy)]
struct Setting {
    flag: &'static str,
    variable: Option<&'static str>,
    /// What stands for its value in `--help`.
    value: &'static str,
    help: &'static str,
    /// The value when none is given; empty where there is none or it depends.
    default: &'static str,
    /// What a value must be: the end of a sentence that begins with the setting's name.
    must: &'static str,
}

impl Setting {
    fn bad(&self) -> Stop {
        Stop::new(format!("{self} must {}", self.must))
    }

    fn arg(&self) -> Arg {
        let variable = self.variable.map(|variable| format!("[env: {variable}]"));
        let default = (!self.default.is_empty()).then(|| format!("[default: {}]", self.default));
        let facts: Vec<_> = [variable, default].into_iter().flatten().collect();
        let help = format!("{}\n{}", self.help, facts.join(" ")).trim_ascii_end().to_owned();
        // Whatever follows a flag is its value, also when it begins with a hyphen as secrets may.
        Arg::new(self.flag).long(self.flag).value_name(self.value).help(help).allow_hyphen_values(true)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variable {
            Some(variable) => write!(f, "{variable} (--{})", self.flag),
            None => write!(f, "--{}", self.flag),
        }
    }
}

macro_rules! settings {
    ($($name:ident $flag:literal $variable:expr, $value:literal $default:literal, $must:literal, $help:literal;)+) => {
        $(const $name: Setting = Setting {
            flag: $flag, variable: $variable, value: $value, help: $help, default: $default, must: $must,
        };)+
    };
}

settings! {
    LISTEN "listen" Some("LISTEN"), "IP:PORT" "127.0.0.1:8080",
        "be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080",
        "The address to listen on. Beyond loopback the server needs a key and a database";
    PORT "port" Some("PORT"), "NUMBER" "",
        "be a port, a whole number from 0 to 65535",
        "Replaces the port of the address. The variable, which platforms set, yields to --listen";
    REQUEST_TIMEOUT "request-timeout-seconds" Some("REQUEST_TIMEOUT_SECONDS"), "SECONDS" "15",
        "be a whole number from 1 to 300",
        "After how long a request is given up: 1 to 300 s";
    REQUIRE_IF_MATCH "require-if-match" Some("REQUIRE_IF_MATCH"), "BOOL" "false",
        "be true or false",
        "Whether changes of a task are taken only with the header If-Match: true or false";
    SHUTDOWN_GRACE "shutdown-grace-seconds" Some("SHUTDOWN_GRACE_SECONDS"), "SECONDS" "10",
        "be a whole number from 0 to 300",
        "How long running requests may go on after the signal to stop: 0 to 300 s";
    CORS "cors-allowed-origins" Some("CORS_ALLOWED_ORIGINS"), "LIST" "",
        "be origins as browsers send them, separated by commas: scheme://host or scheme://host:port in lower case, \
         without path, trailing slash or default port; or * alone",
        "The origins whose pages may call the server, separated by commas, or * for all, such as\n\
         https://app.example.com,http://localhost:3000";

    DATABASE_URL "database-url" Some("DATABASE_URL"), "URL" "",
        "be an address that begins with postgresql://, postgres:// or sqlite:",
        "Where tasks are stored: postgresql://… (Neon's connection string as copied) or sqlite://…\n\
         On a loopback address it may be left out and is sqlite://data/tasks.db";
    DATABASE_URL_UNPOOLED "database-url-unpooled" Some("DATABASE_URL_UNPOOLED"), "URL" "",
        "be an address that begins with postgresql://, postgres:// or sqlite:",
        "A direct connection to the same database, for migrations, where DATABASE_URL is a pooler's";
    DATABASE_SCHEMA "database-schema" Some("DATABASE_SCHEMA"), "NAME" "",
        "be the name of a schema of PostgreSQL: 1 to 63 bytes without control characters, and none of PostgreSQL's own",
        "The schema of PostgreSQL in which the tables are, where public belongs to others. Left out, it is public";
    DATABASE_MAX_CONNECTIONS "database-max-connections" Some("DATABASE_MAX_CONNECTIONS"), "NUMBER" "10",
        "be a whole number from 1 to 1000",
        "The most connections to the database at a time: 1 to 1000";
    DATABASE_TLS "database-tls" Some("DATABASE_TLS"), "MODE" "verified",
        "be verified or off",
        "verified: the certificate of a remote database is checked, whatever DATABASE_URL says\n\
         off: sslmode in DATABASE_URL decides, also for plain text";
    MIGRATE_ON_START "migrate-on-start" Some("MIGRATE_ON_START"), "BOOL" "",
        "be true or false",
        "Whether the server brings the schema up to date when it starts: true or false\n\
         Left out, it is true for SQLite and false for PostgreSQL";

    JWT_SECRET "jwt-secret" Some("JWT_SECRET"), "SECRET" "",
        "have at least 32 bytes; `openssl rand -hex 32` makes one that has",
        "The secret that tokens are signed with (HS256), at least 32 bytes; best set as a variable, as\n\
         others see flags. Without it the server runs in development mode, on a loopback address only";
    BETTER_AUTH_SECRET "better-auth-secret" Some("BETTER_AUTH_SECRET"), "SECRET" "",
        "have at least 32 bytes; `openssl rand -hex 32` makes one that has",
        "The same under Better Auth's name; JWT_SECRET wins";
    JWKS_URL "jwks-url" Some("JWKS_URL"), "URL" "",
        "be an https:// address without user name, password or fragment; http:// is taken for this machine only, as in \
         http://localhost:3000/api/auth/jwks",
        "Where the issuer publishes its keys (EdDSA, ES256, ES384, RS256 to RS512, PS256 to PS512), such as\n\
         https://auth.example.com/api/auth/jwks. In place of JWT_SECRET; BETTER_AUTH_SECRET yields to it";
    JWT_ISSUER "jwt-issuer" Some("JWT_ISSUER"), "TEXT" "",
        "not be empty or hold control characters",
        "The issuer that tokens must name (iss). When not given, it is not checked";
    JWT_AUDIENCE "jwt-audience" Some("JWT_AUDIENCE"), "TEXT" "",
        "not be empty or hold control characters",
        "The audience that tokens must name (aud). When not given, it is not checked";
    JWT_LEEWAY "jwt-leeway-seconds" Some("JWT_LEEWAY_SECONDS"), "SECONDS" "15",
        "be a whole number from 0 to 300",
        "By how much the issuer's clock may differ: 0 to 300 s";

    RUST_LOG "rust-log" Some("RUST_LOG"), "FILTER" "info",
        "be a level (error, warn, info, debug, trace or off), or a list such as info,tasks_server=debug",
        "What is logged: a level, or levels by module, such as info,tasks_server=debug";
    LOG_FORMAT "log-format" Some("LOG_FORMAT"), "FORMAT" "auto",
        "be auto, text or json",
        "The form of the log: text, json, or auto: text on a terminal, JSON elsewhere";

    SUB "sub" None, "ID" "",
        "be a user id, 1 to 255 characters without control characters, and not me, which means the caller",
        "The user whom the token stands for";
    TTL "ttl" None, "TIME" "1h",
        "be a whole number with s, m, h or d, such as 15m, and at most 365d",
        "How long the token is good: 30s, 15m, 1h, 7d, at most 365d";
}

/// The settings by subject, as `--help` shows them.
type Group = (&'static str, &'static [Setting]);
const EDGE: Group = ("Listener", &[LISTEN, PORT, REQUIRE_IF_MATCH, REQUEST_TIMEOUT, SHUTDOWN_GRACE, CORS]);
const DATABASE: Group = (
    "Database",
    &[DATABASE_URL, DATABASE_URL_UNPOOLED, DATABASE_SCHEMA, DATABASE_MAX_CONNECTIONS, DATABASE_TLS, MIGRATE_ON_START],
);
/// What of it migrations need.
const SCHEMA: Group = ("Database", &[DATABASE_URL, DATABASE_URL_UNPOOLED, DATABASE_SCHEMA, DATABASE_TLS]);
const IDENTITY: Group = ("Tokens", &[JWT_SECRET, BETTER_AUTH_SECRET, JWKS_URL, JWT_ISSUER, JWT_AUDIENCE, JWT_LEEWAY]);
const LOG: Group = ("Log", &[RUST_LOG, LOG_FORMAT]);
const ALL: [Group; 4] = [EDGE, DATABASE, IDENTITY, LOG];

/// What of it the embedded database needs.
const FILE: Group = ("Database", &[DATABASE_URL]);

/// The names of arguments: those of `migrate`, and that of `backup`.
const MIGRATION: &str = "up|down|status|role";
const ROLE: &str = "NAME";
const COPY: &str = "FILE";

/// The command line.
fn command() -> clap::Command {
    fn with(command: clap::Command, groups: &[Group]) -> clap::Command {
        groups.iter().fold(command, |command, (heading, settings)| {
            command.args(settings.iter().map(|setting| setting.arg().help_heading(*heading)))
        })
    }
    let root = clap::Command::new("tasks-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A multi-user task API server. Without a command it serves.")
        .after_help(
            "Each setting can be given as a flag, as the variable beside it, or in the file .env of the\n\
             working directory; the first of these wins. An empty variable counts as not set.\n\
             In .env, values with spaces, # or $ stand in single quotes.",
        )
        .disable_help_subcommand(true)
        .next_line_help(true);
    let serve = clap::Command::new("serve").about("Serve the API (the default)");
    let migrate = clap::Command::new("migrate").about("Look after the database's schema").args([
        Arg::new(MIGRATION).required(true).help(
            "up applies what is pending; down takes the newest migration back, with the data that\n\
             it holds; status lists them; role makes a role of PostgreSQL for running servers, with\n\
             no more rights than they need, or brings it up to date",
        ),
        Arg::new(ROLE).help("The name of that role, such as tasks_server"),
    ]);
    let purge = clap::Command::new("purge").about("Forget idempotency keys that have expired, of all users");
    let backup = clap::Command::new("backup")
        .about("Copy the embedded database (SQLite), also while a server runs")
        .arg(Arg::new(COPY).required(true).help("The file that the copy becomes; there must be none of that name"));
    let token = clap::Command::new("token")
        .about("Print a token that is signed with the server's secret or development key")
        .args([SUB.arg().required(true), TTL.arg()]);
    with(root, &ALL)
        .subcommand(with(serve, &ALL))
        .subcommand(with(migrate, &[SCHEMA, LOG]))
        .subcommand(with(purge, &[SCHEMA, LOG]))
        .subcommand(with(backup, &[FILE, LOG]))
        .subcommand(with(token, &[IDENTITY, LOG]))
}

/// Reads the process's arguments, its environment and the file `.env` in its working directory.
///
/// # Errors
/// The text of `--help` or `--version`, or what is wrong: the setting and what it must be, never its value.
pub fn load() -> Result<Invocation, Stop> {
    let matches = command().try_get_matches()?;
    let file = match fs::read(ENV_FILE) {
        Ok(text) => env_file(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
        Err(error) => return Err(Stop::new(format!("the file {ENV_FILE} cannot be read: {error}"))),
    };
    for setting in ALL.iter().flat_map(|(_, settings)| *settings) {
        if setting.variable.and_then(env::var_os).is_some_and(|value| value.to_str().is_none()) {
            return Err(Stop::new(format!("{setting} must be UTF-8")));
        }
    }
    read(&matches, |name| env::var(name).ok().filter(|value| !value.is_empty()).or_else(|| file.get(name).cloned()))
}

/// Reads these arguments, of which the first is the program's name, and these variables.
///
/// # Errors
/// As [`load`].
pub fn parse<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Invocation, Stop> {
    read(&command().try_get_matches_from(arguments)?, environment)
}

/// The variables of a `.env` file; of several of one name the first counts.
fn env_file(text: &[u8]) -> Result<HashMap<String, String>, Stop> {
    /// Hands out one line at a time and counts them: the reader of the format tells no line numbers.
    struct Lines<'a> {
        rest: &'a [u8],
        read: &'a Cell<usize>,
    }

    impl Read for Lines<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let line = self.rest.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
            let length = line.len().min(buffer.len());
            if length == line.len() && length > 0 {
                self.read.set(self.read.get() + 1);
            }
            self.rest.read(buffer.split_at_mut(length).0)
        }
    }

    let read = Cell::new(0);
    let rest = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut variables = HashMap::new();
    for variable in dotenvy::from_read_iter(Lines { rest, read: &read }) {
        let (name, value) = variable.map_err(|error| {
            // Its text would repeat the file's.
            let lines = match error {
                dotenvy::Error::LineParse(text, _) => text.lines().count().max(1),
                _ => 1,
            };
            Stop::new(format!("the file {ENV_FILE} is malformed in line {}", (read.get() + 1).saturating_sub(lines)))
        })?;
        variables.entry(name).or_insert(value);
    }
    Ok(variables)
}

fn read(root: &ArgMatches, environment: impl Fn(&str) -> Option<String>) -> Result<Invocation, Stop> {
    let (name, matches) = root.subcommand().unwrap_or(("serve", root));
    let given = Given { matches: [matches, root], environment };
    let log = given.log()?;
    let command = match name {
        "migrate" => Command::Migrate(migration(matches)?, given.database()?),
        "purge" => Command::Purge(given.database()?),
        "backup" => Command::Backup(copy(matches)?, given.database()?),
        "token" => Command::Token {
            sub: given.required(&SUB, subject)?,
            ttl: given.required(&TTL, ttl)?,
            identity: Box::new(given.signing_identity()?),
        },
        _ => Command::Serve(Box::new(given.settings()?)),
    };
    Ok(Invocation { log, command })
}

/// What was given.
struct Given<'a, E> {
    /// The flags, those behind the command first.
    matches: [&'a ArgMatches; 2],
    environment: E,
}

impl<E: Fn(&str) -> Option<String>> Given<'_, E> {
    fn flag(&self, setting: &Setting) -> Option<&str> {
        // A command has only the flags that it needs; to ask it for another is no mistake.
        let mut found =
            self.matches.into_iter().filter_map(|matches| matches.try_get_one::<String>(setting.flag).ok()?);
        found.next().map(String::as_str)
    }

    /// The value of a setting, if it has one.
    fn optional<T>(&self, setting: &Setting, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Stop> {
        let variable = || setting.variable.and_then(&self.environment).filter(|value| !value.is_empty());
        let text = self.flag(setting).map(str::to_owned).or_else(variable);
        text.map(|text| parse(&text).ok_or_else(|| setting.bad())).transpose()
    }

    /// The value of a setting, or its default.
    fn required<T>(&self, setting: &Setting, parse: impl Fn(&str) -> Option<T>) -> Result<T, Stop> {
        match self.optional(setting, &parse)? {
            Some(value) => Ok(value),
            None => parse(setting.default).ok_or_else(|| setting.bad()),
        }
    }

    fn seconds(&self, setting: &Setting, range: RangeInclusive<u64>) -> Result<Duration, Stop> {
        self.required(setting, |text| number(text, range.clone()).map(Duration::from_secs))
    }

    fn settings(&self) -> Result<Settings, Stop> {
        Ok(Settings {
            listen: self.listen()?,
            database: self.database()?,
            identity: self.identity()?,
            cors: self.optional(&CORS, cors)?,
            requires_condition: self.required(&REQUIRE_IF_MATCH, boolean)?,
            request_timeout: self.seconds(&REQUEST_TIMEOUT, 1..=300)?,
            shutdown_grace: self.seconds(&SHUTDOWN_GRACE, 0..=300)?,
        })
    }

    fn listen(&self) -> Result<SocketAddr, Stop> {
        let mut listen: SocketAddr = self.required(&LISTEN, |text| text.parse().ok())?;
        // A variable that the platform sets does not undo an address that a person typed.
        if (self.flag(&PORT).is_some() || self.flag(&LISTEN).is_none())
            && let Some(port) = self.optional(&PORT, |text| number(text, 0..=u16::MAX))?
        {
            listen.set_port(port);
        }
        Ok(listen)
    }

    /// Whether only this machine reaches the server.
    fn is_private(&self) -> Result<bool, Stop> {
        Ok(self.listen()?.ip().to_canonical().is_loopback())
    }

    fn database(&self) -> Result<DatabaseSettings, Stop> {
        let migration_url = self.optional(&DATABASE_URL_UNPOOLED, database_url)?;
        let url = match self.optional(&DATABASE_URL, database_url)? {
            Some(url) => url,
            None if migration_url.is_some() => {
                return Err(Stop::new(format!(
                    "{DATABASE_URL} must be set where {DATABASE_URL_UNPOOLED} is: both name the same database"
                )));
            }
            None if self.is_private()? => EMBEDDED_DATABASE.to_owned(),
            None => {
                return Err(Stop::new(format!(
                    "{DATABASE_URL} must be set where {LISTEN} is not a loopback address: the default, a file beside \
                     the server, is lost with its container. Set it to postgresql://…, or to sqlite://… to say that \
                     the file stays",
                )));
            }
        };
        Ok(DatabaseSettings {
            migration_url,
            schema: self.optional(&DATABASE_SCHEMA, schema)?,
            max_connections: self.required(&DATABASE_MAX_CONNECTIONS, |text| number(text, 1..=1000))?,
            tls: self.required(&DATABASE_TLS, |text| match text {
                "verified" => Some(DatabaseTls::Verified),
                "off" => Some(DatabaseTls::Off),
                _ => None,
            })?,
            migrate_on_start: self.optional(&MIGRATE_ON_START, boolean)?.unwrap_or(url.starts_with("sqlite:")),
            url,
        })
    }

    fn identity(&self) -> Result<Identity, Stop> {
        let shared = |setting: Setting| -> Result<Option<Keys>, Stop> {
            let secret = self.optional(&setting, |text| Secret::new(text.into()))?;
            Ok(secret.zip(setting.variable).map(|(secret, variable)| Keys::Shared { secret, variable }))
        };
        let keys = match (self.optional(&JWKS_URL, jwks_url)?, shared(JWT_SECRET)?) {
            (Some(_), Some(_)) => {
                return Err(Stop::new(format!(
                    "{JWKS_URL} and {JWT_SECRET} are both set: tokens are signed either with a key that the issuer \
                     publishes or with a shared secret. Unset one",
                )));
            }
            (Some(url), None) => {
                let ignores_secret = self.optional(&BETTER_AUTH_SECRET, |_| Some(()))?.is_some();
                let pace = Pace::default();
                // A request that waits for the keys is to be answered before its own time is over.
                let timeout = pace.timeout.min(self.seconds(&REQUEST_TIMEOUT, 1..=300)? / 2);
                Some(Keys::Published { url, pace: Pace { timeout, ..pace }, ignores_secret })
            }
            (None, Some(keys)) => Some(keys),
            (None, None) => shared(BETTER_AUTH_SECRET)?,
        };
        let keys = match keys {
            Some(keys) => keys,
            None if self.is_private()? => Keys::Development,
            None => {
                return Err(Stop::new(format!(
                    "{JWKS_URL} or {JWT_SECRET} must be set where {LISTEN} is not a loopback address: where the issuer \
                     of tokens publishes its keys, or the secret, of at least 32 bytes, that it signs them with. \
                     Without either the server runs in development mode, on a loopback address only",
                )));
            }
        };
        let expected = Expected {
            issuer: self.optional(&JWT_ISSUER, line)?,
            audience: self.optional(&JWT_AUDIENCE, line)?,
            leeway: self.seconds(&JWT_LEEWAY, 0..=300)?,
        };
        Ok(Identity { keys, expected })
    }

    /// As [`Self::identity`], where tokens can be made.
    fn signing_identity(&self) -> Result<Identity, Stop> {
        let identity = self.identity()?;
        match identity.keys {
            Keys::Shared { .. } | Keys::Development => Ok(identity),
            Keys::Published { .. } => Err(Stop::new(format!(
                "where {JWKS_URL} is set, only the issuer can make tokens: sign in there. For tokens of one's own, start \
                 server and command without it",
            ))),
        }
    }

    fn log(&self) -> Result<Log, Stop> {
        Ok(Log {
            filter: self.required(&RUST_LOG, |text| {
                EnvFilter::builder().parse(text).is_ok_and(|_| !text.is_empty()).then(|| text.to_owned())
            })?,
            format: self.required(&LOG_FORMAT, |text| match text {
                "auto" => Some(LogFormat::Auto),
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            })?,
        })
    }
}

/// A whole number in decimal digits, without a sign.
fn number<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)?.parse().ok()?;
    range.contains(&number).then_some(number)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A text that is not empty and has no line breaks or other control characters.
fn line(text: &str) -> Option<String> {
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// An address of a kind of database that is known; the database reads the rest.
fn database_url(text: &str) -> Option<String> {
    let is_known = ["postgresql://", "postgres://", "sqlite:"].iter().any(|scheme| text.starts_with(scheme));
    line(text).filter(|_| is_known)
}

/// The name of a schema that may be ours: PostgreSQL cuts longer ones off and keeps `pg_…` for itself.
fn schema(text: &str) -> Option<String> {
    let is_own = !text.starts_with("pg_") && text != "information_schema";
    line(text).filter(|name| name.len() <= 63 && is_own)
}

/// An address that keys may come from: nobody on the way to it can change them.
fn jwks_url(text: &str) -> Option<Url> {
    let url = Url::parse(&line(text)?).ok()?;
    let host = url.host_str()?;
    let is_loopback = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost",
    };
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (is_safe && is_plain).then_some(url)
}

fn cors(text: &str) -> Option<Cors> {
    if text == "*" {
        return Some(Cors::Any);
    }
    text.split(',').map(|item| origin(item.trim_ascii())).collect::<Option<_>>().map(Cors::Origins)
}

/// An origin exactly as a browser writes it (RFC 6454 §6.2): any other spelling would never equal a request's.
fn origin(text: &str) -> Option<HeaderValue> {
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_plain = |text: &str, more: &[u8]| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || more.contains(&byte);
        text.bytes().all(is_plain) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse().is_ok_and(|parsed: Ipv6Addr| parsed.to_string() == ip),
        None => is_plain(host, b".-_"),
    };
    let is_port = port.is_none_or(|port| {
        let is_default = matches!((scheme, port), ("http", "80") | ("https", "443"));
        !is_default && !port.starts_with('0') && number(port, 1..=u16::MAX).is_some()
    });
    (is_plain(scheme, b"+-.") && is_host && is_port).then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// A span of time such as `30s`, `15m`, `1h` or `7d`, from one second to 365 days.
fn ttl(text: &str) -> Option<Duration> {
    const MAX: u64 = 365 * 24 * 60 * 60;
    [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)].into_iter().find_map(|(unit, seconds)| {
        let count = number(text.strip_suffix(unit)?, 1..=MAX / seconds)?;
        Some(Duration::from_secs(count * seconds))
    })
}

fn migration(matches: &ArgMatches) -> Result<Migration, Stop> {
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

/// The name of a role that may be the server's: PostgreSQL keeps some for itself.
fn role(text: &str) -> Option<String> {
    schema(text).filter(|name| !["public", "none"].contains(&name.as_str()))
}

fn copy(matches: &ArgMatches) -> Result<PathBuf, Stop> {
    let file = matches.get_one::<String>(COPY).and_then(|text| line(text));
    file.map(PathBuf::from).ok_or_else(|| Stop::new("the FILE of backup must be the name of a file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";
    const PUBLIC: [(&str, &str); 3] =
        [("LISTEN", "0.0.0.0:8080"), ("JWT_SECRET", KEY), ("DATABASE_URL", "postgresql://u:p@h/d")];

    fn run(arguments: &str, variables: &[(&str, &str)]) -> Result<Invocation, Stop> {
        let arguments = ["tasks-server"].into_iter().chain(arguments.split_whitespace());
        parse(arguments, |name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn serve(arguments: &str, variables: &[(&str, &str)]) -> Result<Settings, Stop> {
        run(arguments, variables).map(|invocation| match invocation.command {
            Command::Serve(settings) => *settings,
            other => panic!("{other:?}"),
        })
    }

    /// What a public listener needs, without this variable and what outranks it.
    fn beside(variable: &str) -> Vec<(&'static str, &'static str)> {
        let outranks =
            |name| name == variable || (name == "JWT_SECRET" && ["BETTER_AUTH_SECRET", "JWKS_URL"].contains(&variable));
        PUBLIC.into_iter().filter(|(name, _)| !outranks(*name)).collect()
    }

    /// The settings of a public listener with this one.
    fn with(variable: &str, value: &str) -> Result<Settings, Stop> {
        serve("", &[beside(variable).as_slice(), &[(variable, value)]].concat())
    }

    /// Why it stops.
    fn stop(arguments: &str, variables: &[(&str, &str)]) -> String {
        let stop = run(arguments, variables).unwrap_err();
        assert!(!stop.is_wanted);
        stop.to_string()
    }

    fn address(settings: Result<Settings, Stop>) -> String {
        settings.unwrap().listen.to_string()
    }

    #[test]
    fn without_settings_it_serves_this_machine_in_development_mode() {
        for arguments in ["", "serve"] {
            let settings = serve(arguments, &[]).unwrap();
            assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
            assert_eq!(settings.database.url, "sqlite://data/tasks.db");
            assert_eq!(settings.database.migration_url, None);
            assert_eq!(settings.database.max_connections, 10);
            assert_eq!(settings.database.tls, DatabaseTls::Verified);
            assert!(settings.database.migrate_on_start);
            assert!(matches!(settings.identity.keys, Keys::Development));
            let leeway = Duration::from_secs(15);
            assert_eq!(settings.identity.expected, Expected { issuer: None, audience: None, leeway });
            assert_eq!(settings.cors, None);
            assert_eq!(settings.request_timeout, Duration::from_secs(15));
            assert_eq!(settings.shutdown_grace, Duration::from_secs(10));
        }
        let log = run("", &[]).unwrap().log;
        assert_eq!(log, Log { filter: "info".to_owned(), format: LogFormat::Auto });
    }

    #[test]
    fn every_default_is_a_value_that_is_taken() {
        let defaults: Vec<_> = settings().filter(|setting| !setting.default.is_empty()).collect();
        assert_eq!(defaults.len(), 9);
        let flags: Vec<_> = defaults.iter().map(|setting| format!("--{} {}", setting.flag, setting.default)).collect();
        let (given, not) = (serve(&flags.join(" "), &[]).unwrap(), serve("", &[]).unwrap());
        assert_eq!(format!("{given:?}"), format!("{not:?}"));
    }

    fn settings() -> impl Iterator<Item = Setting> {
        ALL.iter().flat_map(|(_, settings)| settings.iter().copied())
    }

    #[test]
    fn flags_stand_before_or_behind_the_command_and_win() {
        let environment = [("LISTEN", "127.0.0.1:1"), ("LOG_FORMAT", "text")];
        assert_eq!(address(serve("", &environment)), "127.0.0.1:1");
        for arguments in
            ["--listen 127.0.0.1:2", "--listen=127.0.0.1:2", "--listen 127.0.0.1:2 serve", "serve --listen 127.0.0.1:2"]
        {
            assert_eq!(address(serve(arguments, &environment)), "127.0.0.1:2", "{arguments}");
        }
        assert_eq!(run("--log-format json migrate status", &environment).unwrap().log.format, LogFormat::Json);
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let empty: Vec<_> = settings().filter_map(|setting| Some((setting.variable?, ""))).collect();
        let (given, not) = (serve("", &empty).unwrap(), serve("", &[]).unwrap());
        assert_eq!(format!("{given:?}"), format!("{not:?}"));
    }

    #[test]
    fn an_empty_flag_is_refused() {
        for setting in settings() {
            let text = stop(&format!("--{}=", setting.flag), &beside(setting.variable.unwrap()));
            assert!(text.contains(setting.flag), "{text}");
        }
    }

    #[test]
    fn port_replaces_the_port() {
        assert_eq!(address(serve("", &[("PORT", "3000")])), "127.0.0.1:3000");
        assert_eq!(address(with("PORT", "3000")), "0.0.0.0:3000");
        assert_eq!(address(serve("--port 4000", &[("PORT", "3000")])), "127.0.0.1:4000");
        assert_eq!(address(serve("--listen [::1]:5000", &[("PORT", "3000")])), "[::1]:5000");
        assert_eq!(address(serve("--listen [::1]:5000 --port 4000", &[("PORT", "3000")])), "[::1]:4000");
        assert_eq!(address(serve("", &[("LISTEN", "127.0.0.1:0")])), "127.0.0.1:0");
    }

    #[test]
    fn a_public_listener_needs_a_database_and_a_key() {
        for listen in ["0.0.0.0:8080", "[::]:8080", "192.168.0.7:80", "[::ffff:10.0.0.1]:1"] {
            let text = stop("", &[("LISTEN", listen), ("JWT_SECRET", KEY)]);
            assert!(text.contains("DATABASE_URL") && text.contains("postgresql://"), "{text}");
            let text = stop("", &[("LISTEN", listen), ("DATABASE_URL", "sqlite:///tasks.db")]);
            assert!(text.contains("JWT_SECRET") && text.contains("32 bytes"), "{text}");
            let whole = [("LISTEN", listen), ("JWT_SECRET", KEY), ("DATABASE_URL", "sqlite:///tasks.db")];
            assert!(serve("", &whole).is_ok());
            assert!(stop("migrate up", &[("LISTEN", listen)]).contains("DATABASE_URL"));
            assert!(stop("token --sub alice", &[("LISTEN", listen)]).contains("JWT_SECRET"));
        }
        for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(serve("", &[("LISTEN", listen)]).is_ok(), "{listen}");
        }
    }

    #[test]
    fn the_database_decides_who_migrates() {
        assert!(!serve("", &PUBLIC).unwrap().database.migrate_on_start);
        assert!(with("MIGRATE_ON_START", "true").unwrap().database.migrate_on_start);
        assert!(with("DATABASE_URL", "sqlite:///x.db").unwrap().database.migrate_on_start);
        assert!(!serve("--migrate-on-start off", &[]).unwrap().database.migrate_on_start);
        let database = with("DATABASE_URL_UNPOOLED", "postgres://direct/d").unwrap().database;
        assert_eq!(database.migration_url.as_deref(), Some("postgres://direct/d"));
        assert_eq!(with("DATABASE_TLS", "off").unwrap().database.tls, DatabaseTls::Off);
    }

    #[test]
    fn the_key_set_goes_before_better_auth_secret_and_not_with_jwt_secret() {
        let jwks = ("JWKS_URL", "https://auth.example.com/api/auth/jwks");
        let ignores = |variables: &[(&str, &str)]| match serve("", variables).unwrap().identity.keys {
            Keys::Published { url, ignores_secret, .. } => {
                assert_eq!(url.as_str(), jwks.1);
                ignores_secret
            }
            other => panic!("{other:?}"),
        };
        assert!(!ignores(&[jwks]));
        assert!(ignores(&[jwks, ("BETTER_AUTH_SECRET", KEY)]));
        assert!(ignores(&[jwks, ("BETTER_AUTH_SECRET", "short")]));
        assert!(!ignores(&[jwks, ("JWT_SECRET", ""), ("LISTEN", "0.0.0.0:1"), ("DATABASE_URL", "sqlite://x")]));
        let both = stop("", &[jwks, ("JWT_SECRET", KEY)]);
        assert!(both.contains("JWKS_URL (--jwks-url) and JWT_SECRET (--jwt-secret) are both set"), "{both}");
        let token = run("token --sub alice", &[jwks]).unwrap_err().to_string();
        assert!(token.contains("JWKS_URL"), "{token}");
    }

    #[test]
    fn keys_come_from_where_nobody_can_change_them_on_the_way() {
        for good in [
            "https://auth.example.com/jwks",
            "https://auth.example.com:8443/jwks?policy=a",
            "http://localhost:3000/api/auth/jwks",
            "http://127.0.0.1:3000/jwks",
            "http://127.9.9.9/jwks",
            "http://[::1]:3000/jwks",
        ] {
            assert!(with("JWKS_URL", good).is_ok(), "{good}");
        }
        for wrong in [
            "canary",
            "auth.example.com/canary",
            "http://auth.example.com/canary",
            "http://localhost.example.com/canary",
            "http://128.0.0.1/canary",
            "http://[::2]/canary",
            "https:///",
            "https://canary:x@auth.example.com/",
            "https://canary@auth.example.com/",
            "https://auth.example.com/#canary",
            "file:///canary",
            "data:application/json,canary",
            "https://auth.example.com/\ncanary",
        ] {
            let stop = with("JWKS_URL", wrong).unwrap_err().to_string();
            assert!(stop.contains("JWKS_URL (--jwks-url) must be") && !stop.contains("canary"), "{wrong}: {stop}");
        }
    }

    #[test]
    fn the_key_is_jwt_secret_before_better_auth_secret() {
        let variable = |variables: &[(&str, &str)]| match serve("", variables).unwrap().identity.keys {
            Keys::Shared { variable, .. } => variable,
            Keys::Development => "none",
            Keys::Published { .. } => "published",
        };
        assert_eq!(variable(&[("JWT_SECRET", KEY)]), "JWT_SECRET");
        assert_eq!(variable(&[("BETTER_AUTH_SECRET", KEY)]), "BETTER_AUTH_SECRET");
        assert_eq!(variable(&[("JWT_SECRET", ""), ("BETTER_AUTH_SECRET", KEY)]), "BETTER_AUTH_SECRET");
        assert_eq!(variable(&[("JWT_SECRET", KEY), ("BETTER_AUTH_SECRET", "short")]), "JWT_SECRET");
        assert!(stop("", &[("JWT_SECRET", "short"), ("BETTER_AUTH_SECRET", KEY)]).contains("JWT_SECRET"));
        assert!(
            serve("--jwt-secret -----------------------------------", &[]).is_ok(),
            "a secret may begin with hyphens"
        );
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        let list = "http://localhost:3000, https://app.example.com,https://[::1]:8443,tauri://localhost";
        let Some(Cors::Origins(origins)) = with("CORS_ALLOWED_ORIGINS", list).unwrap().cors else { panic!() };
        assert_eq!(origins, list.split(',').map(str::trim).collect::<Vec<_>>());
        assert_eq!(with("CORS_ALLOWED_ORIGINS", "*").unwrap().cors, Some(Cors::Any));
        for wrong in [
            "localhost",
            "localhost:3000",
            "null",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://A",
            "HTTPS://a",
            "https://a:443",
            "http://a:80",
            "https://a:0",
            "https://a:08",
            "https://a:65536",
            "https://a:",
            "https://a:b",
            "https://u@a",
            "https://*.a",
            "https://ä",
            "https://[::1",
            "https://[0::1]",
            "https://[::1]x",
            "https://::1",
            "://a",
            "https://a b",
            "https://a,",
            ",",
            "*,https://a",
            "https://a,*",
            "**",
        ] {
            assert!(with("CORS_ALLOWED_ORIGINS", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bad_value_is_named_and_never_shown() {
        const CANARY: &str = "canary-7f3a";
        for setting in settings() {
            let variable = setting.variable.unwrap();
            let value = match variable {
                "RUST_LOG" => format!("{CANARY}=loud"),
                "CORS_ALLOWED_ORIGINS" => format!("https://{CANARY}/"),
                "JWT_ISSUER" | "JWT_AUDIENCE" | "DATABASE_SCHEMA" => format!("{CANARY}\u{1}"),
                _ => CANARY.to_owned(),
            };
            let others = beside(variable);
            let by_variable = stop("", &[others.as_slice(), &[(variable, &value)]].concat());
            for arguments in [format!("--{}={value}", setting.flag), format!("serve --{} {value}", setting.flag)] {
                assert_eq!(stop(&arguments, &others), by_variable);
            }
            assert!(
                by_variable.contains(variable) && by_variable.contains(&format!("--{}", setting.flag)),
                "{by_variable}"
            );
            assert!(by_variable.contains(setting.must), "{by_variable}");
            assert!(!by_variable.contains("7f3a"), "{by_variable}");
        }
    }

    #[test]
    fn numbers_have_limits() {
        for (variable, good, bad) in [
            ("PORT", &["0", "65535"][..], &["65536", "-1", "+1", "1.0", " 1", "0x1"][..]),
            ("DATABASE_MAX_CONNECTIONS", &["1", "1000"], &["0", "1001", "ten"]),
            ("JWT_LEEWAY_SECONDS", &["0", "300"], &["301", "-1", "1s"]),
            ("REQUEST_TIMEOUT_SECONDS", &["1", "300"], &["0", "301", "99999999999999999999"]),
            ("SHUTDOWN_GRACE_SECONDS", &["0", "300"], &["301", "1e2"]),
            ("MIGRATE_ON_START", &["true", "false", "on", "off", "1", "0"], &["yes", "True", "2"]),
            ("DATABASE_SCHEMA", &["tasks", "my \"own\"", "Größe"], &["pg_tasks", "information_schema", "a\nb"]),
            ("DATABASE_TLS", &["verified", "off"], &["on", "VERIFIED", "false"]),
            ("LOG_FORMAT", &["auto", "text", "json"], &["JSON", "pretty"]),
            ("RUST_LOG", &["warn", "info,tasks_server=debug", "off"], &["a=b=c", "info,x=loud"]),
            ("LISTEN", &["127.0.0.1:0"], &["8080", ":8080", "localhost:8080", "127.0.0.1", "1.2.3.4:99999"]),
            (
                "DATABASE_URL",
                &["sqlite::memory:", "postgres://h/d"],
                &["mysql://h/d", "h/d", "postgres:h", "sqlite://x\n"],
            ),
        ] {
            for value in good {
                assert!(with(variable, value).is_ok(), "{variable}={value}");
            }
            for value in bad {
                assert!(with(variable, value).unwrap_err().to_string().contains(variable), "{variable}={value}");
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_not_repeated() {
        for arguments in [
            "--jwt-secrt=canary",
            "--jwt-secrt canary",
            "--jwt-secret= canary",
            "--jwt-secret my canary",
            "JWT_SECRET=canary",
            "serve canary",
            "serve JWT_SECRET=canary",
            "--canary7",
            "--0canary",
            "-canary",
            "-jwt-secret=canary",
            "-- canary",
            "migrate canary",
            "migrate up canary",
            "migrate role pg_canary",
            "migrate role x canary",
            "backup x canary",
            "migrate --jwt-secret canary up",
            "token canary",
            "token --sub alice --ttl canary",
            "token --sub=alice --jwt-secret=canary",
            "--jwt-secret canary --jwt-secret canary",
            "--listen 127.0.0.1:1 --jwt-secret canary serve",
        ] {
            let text = stop(arguments, &[]);
            assert!(!text.contains("canary"), "{arguments}: {text}");
            assert!(!text.contains('\n'), "{arguments}: {text}");
        }
        assert!(stop("--jwt-secrt=canary", &[]).contains("no flag --jwt-secrt; did you mean --jwt-secret?"));
        assert!(stop("--rate-limit 1", &[]).contains("no flag --rate-limit"));
        assert!(stop("--listen", &[]).contains("--listen <IP:PORT> needs a value"));
        assert!(stop("--port 1 --port 2", &[]).contains("--port <NUMBER> is given more than once"));
        assert!(stop("token", &[]).contains("--sub <ID> is missing"));
        assert!(stop("migrate", &[]).contains("up|down|status|role"));
        assert!(stop("start", &[]).contains("serve, migrate, purge, backup or token"));
    }

    #[test]
    fn migrate_takes_only_what_it_needs() {
        let migrate = |arguments: &str, variables: &[(&str, &str)]| match run(arguments, variables).unwrap().command {
            Command::Migrate(migration, database) => (migration, database.url),
            other => panic!("{other:?}"),
        };
        let bad = [
            ("JWT_SECRET", "short"),
            ("CORS_ALLOWED_ORIGINS", "x"),
            ("LISTEN", "x"),
            ("DATABASE_URL", "postgres://h/d"),
        ];
        assert_eq!(migrate("migrate up", &bad), (Migration::Up, "postgres://h/d".to_owned()));
        assert_eq!(migrate("migrate down --database-url sqlite://x", &bad), (Migration::Down, "sqlite://x".to_owned()));
        assert_eq!(
            migrate("--database-url sqlite://x migrate status", &bad),
            (Migration::Status, "sqlite://x".to_owned())
        );
        assert_eq!(migrate("migrate status", &[]).1, EMBEDDED_DATABASE);
        assert_eq!(migrate("migrate role tasks_server", &bad).0, Migration::Role("tasks_server".to_owned()));
    }

    #[test]
    fn a_role_has_a_name_that_postgres_leaves_to_others() {
        let role = |name: &str| {
            parse(["tasks-server", "migrate", "role", name], |_| None).map(|invocation| match invocation.command {
                Command::Migrate(Migration::Role(name), _) => name,
                other => panic!("{other:?}"),
            })
        };
        for good in ["tasks_server", "My \"own\" role", "PG_mine", "Größe", "information", &"x".repeat(63)] {
            assert_eq!(role(good).unwrap(), good);
        }
        for bad in ["", "pg_monitor", "public", "none", "a\nb", &"x".repeat(64)] {
            assert!(role(bad).unwrap_err().to_string().contains("NAME of migrate role"), "{bad}");
        }
        assert!(stop("migrate role", &[]).contains("the name of a role"));
    }

    #[test]
    fn backup_takes_a_file_and_a_database() {
        match run("backup a/b.db --database-url sqlite://x", &[("JWT_SECRET", "short")]).unwrap().command {
            Command::Backup(file, database) => assert_eq!((file, database.url), ("a/b.db".into(), "sqlite://x".into())),
            other => panic!("{other:?}"),
        }
        assert!(stop("backup", &[]).contains("<FILE> is missing"));
        assert!(parse(["tasks-server", "backup", ""], |_| None).unwrap_err().to_string().contains("FILE of backup"));
    }

    #[test]
    fn token_takes_a_subject_and_a_time() {
        let token = |arguments: &str| run(&format!("token {arguments}"), &[("DATABASE_URL", "x"), ("JWT_ISSUER", "i")]);
        let whole = token("--sub auth0|1").unwrap().command;
        let Command::Token { sub, ttl, identity } = whole else { panic!() };
        assert_eq!((sub.as_str(), ttl), ("auth0|1", Duration::from_hours(1)));
        assert_eq!(identity.expected.issuer.as_deref(), Some("i"));
        for (text, seconds) in
            [("30s", 30), ("15m", 900), ("1h", 3600), ("7d", 604_800), ("365d", 31_536_000), ("8760h", 31_536_000)]
        {
            let Command::Token { ttl, .. } = token(&format!("--sub a --ttl {text}")).unwrap().command else { panic!() };
            assert_eq!(ttl.as_secs(), seconds, "{text}");
        }
        for text in ["0s", "1", "h", "-1h", "1.5h", "1w", "1H", "366d", "8761h", "1h30m", "99999999999999999999s", "é"]
        {
            let stop = token(&format!("--sub a --ttl {text}")).unwrap_err().to_string();
            assert!(stop.contains("--ttl must be"), "{stop}");
        }
        for sub in ["me", "", "a\u{1}", &"x".repeat(256)] {
            let stop = token(&format!("--sub={sub}")).unwrap_err().to_string();
            assert!(stop.contains("--sub must be"), "{stop}");
        }
    }

    #[test]
    fn help_shows_every_setting_with_its_variable() {
        for arguments in ["--help", "serve --help", "serve -h"] {
            let help = run(arguments, &[]).unwrap_err();
            assert!(help.is_wanted);
            for setting in settings() {
                assert!(help.text.contains(&format!("--{} <{}>", setting.flag, setting.value)), "{}", setting.flag);
                let help = help.text.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(help.contains(&format!("[env: {}]", setting.variable.unwrap())), "{setting}");
            }
        }
        let help = run("migrate --help", &[]).unwrap_err().text;
        assert!(help.contains("--database-url") && !help.contains("--jwt-secret"));
        assert_eq!(run("--version", &[]).unwrap_err().text, concat!("tasks-server ", env!("CARGO_PKG_VERSION"), "\n"));
        command().debug_assert();
    }

    #[test]
    fn an_env_file_is_read_and_its_mistakes_are_named_by_line() {
        let variables =
            env_file("\u{feff}# note\n\nA=1\nexport B='x y' # note\nA=2\nC=\r\nD=\"two\nlines\"".as_bytes()).unwrap();
        let pairs: [(&str, &str); 4] = [("A", "1"), ("B", "x y"), ("C", ""), ("D", "two\nlines")];
        assert_eq!(variables, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        for (text, line) in [
            ("canary", 1),
            ("A=1\n\n# x\ncanary = x\ncanary\nB=2\n", 5),
            ("A=1\nB='canary\nC=3\n", 2),
            ("A=1\nB='canary\nC=3", 2),
            ("A='x\ny'\nB=canary canary\n", 3),
            ("A='x\ny'\nB='x\ncanary' y\nC=1\n", 3),
            ("A=1\r\n1canary=2\r\n", 2),
        ] {
            let stop = env_file(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(stop, format!("the file .env is malformed in line {line}"), "{text:?}");
        }
        let long = format!("A={}\nB=1\n\u{e9}=canary\n", "x".repeat(20_000));
        assert!(env_file(long.as_bytes()).unwrap_err().text.ends_with("line 3"));
        assert!(env_file(b"A=1\nB=\xff\n").unwrap_err().text.ends_with("line 2"));
    }
}
