//! The table of settings: each is a flag, a variable, a line of `--help`, a sentence about what is expected, and how its value is
//! read. Whoever adds one adds it here, to a group below, and to the types.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Arg, ArgAction};
use ipnet::IpNet;
use reqwest::Url;
use tasks_api::{PublicUrl, UserId};

use crate::config::stop::Stop;
use crate::config::values::{
    addresses, audience_claim, audiences, authorization_servers, boolean, cors, database_url, issuer, jwks_url, line,
    log_filter, log_format, mode, networks, number, public_key, public_url, schema, seconds, secret, ttl, user_claim,
};
use crate::edge::bind::Addresses;
use crate::edge::cors::Cors;
use crate::edge::log::LogFormat;
use crate::identity::claims::subject;
use crate::identity::secret::Secret;
use crate::storage::settings::DatabaseTls;

/// A setting, from its flag and variable to what is said about it and how its value is read.
pub(super) struct Setting<T: 'static> {
    pub(super) facts: Facts,
    /// What its value means; `None` is a value that is not as it must be.
    pub(super) parse: fn(&str) -> Option<T>,
}

/// What is said about a setting.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub(super) flag: &'static str,
    pub(super) variable: Option<&'static str>,
    /// What stands for its value in `--help`.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
    /// The value when none is given; empty where there is none or it depends.
    pub(super) default: &'static str,
    /// What a value must be: the end of a sentence that begins with the setting's name.
    pub(super) must: &'static str,
}

impl Facts {
    pub(super) fn bad(&self) -> Stop {
        Stop::new(format!("{self} must {}", self.must))
    }

    /// As [`Self::bad`], with the reason: the end of a sentence that begins with the setting.
    pub(super) fn bad_as(&self, reason: impl fmt::Display) -> Stop {
        Stop::new(format!("{self} must {}: it {reason}", self.must))
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

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variable {
            Some(variable) => write!(f, "{variable} (--{})", self.flag),
            None => write!(f, "--{}", self.flag),
        }
    }
}

impl<T> fmt::Display for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.fmt(f)
    }
}

macro_rules! settings {
    ($($name:ident: $type:ty = $flag:literal $variable:expr, $value:literal $default:literal, $parse:expr, $must:literal, $help:literal;)+) => {
        $(pub(super) const $name: Setting<$type> = Setting {
            facts: Facts {
                flag: $flag, variable: $variable, value: $value, help: $help, default: $default, must: $must,
            },
            parse: $parse,
        };)+
    };
}

settings! {
    LISTEN: Addresses = "listen" Some("LISTEN"), "IP:PORT" "127.0.0.1:8080", addresses,
        "be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080, or localhost and a port; other names are not \
         looked up",
        "The address to listen on: [::] is all of them, also of IPv4, and localhost all of this machine.\n\
         Beyond loopback the server needs a key and a database. Sockets of systemd go before it";
    PORT: u16 = "port" Some("PORT"), "NUMBER" "", |text| number(text, 0..=u16::MAX),
        "be a port, a whole number from 0 to 65535",
        "Replaces the port of the address; the variable, which platforms set, yields to --listen. Without\n\
         LISTEN it means all addresses where a key and a database are named, else loopback";
    PUBLIC_URL: PublicUrl = "public-url" Some("PUBLIC_URL"), "URL" "", public_url,
        "be an address that begins with https:// or http://, without user name, query or fragment, such as \
         https://example.com/tasks; its path may have letters, digits and - . _ ~",
        "Where the world finds the server: an origin and, where a proxy has it under a path, that path, such\n\
         as https://example.com/tasks; the proxy may strip the path or not";
    REQUEST_TIMEOUT: Duration = "request-timeout-seconds" Some("REQUEST_TIMEOUT_SECONDS"), "SECONDS" "15", |text| seconds(text, 1..=300),
        "be a whole number from 1 to 300",
        "After how long a request is given up: 1 to 300 s";
    EXPORT_TIMEOUT: Duration = "export-timeout-seconds" Some("EXPORT_TIMEOUT_SECONDS"), "SECONDS" "600", |text| seconds(text, 1..=3600),
        "be a whole number from 1 to 3600",
        "After how long an export of all that is held of a user is cut off: 1 s to 1 hour";
    REQUIRE_IF_MATCH: bool = "require-if-match" Some("REQUIRE_IF_MATCH"), "BOOL" "false", boolean,
        "be true or false",
        "Whether changes of a task are taken only with the header If-Match: true or false";
    SHUTDOWN_GRACE: Duration = "shutdown-grace-seconds" Some("SHUTDOWN_GRACE_SECONDS"), "SECONDS" "10", |text| seconds(text, 0..=300),
        "be a whole number from 0 to 300",
        "How long running requests may go on after the signal to stop: 0 to 300 s";
    MAX_CONNECTIONS: usize = "max-connections" Some("MAX_CONNECTIONS"), "NUMBER" "10000", |text| number(text, 1..=1_000_000),
        "be a whole number from 1 to 1000000",
        "The most connections of clients at a time; others wait. Fewer where the process may not open as many files";
    RATE_LIMIT: u32 = "rate-limit-per-minute" Some("RATE_LIMIT_PER_MINUTE"), "NUMBER" "600", |text| number(text, 0..=1_000_000),
        "be a whole number from 0 to 1000000",
        "How many requests a user may send in a minute, to this process; 0: as many as they like";
    RATE_LIMIT_ADDRESS: u32 = "rate-limit-per-minute-address" Some("RATE_LIMIT_PER_MINUTE_ADDRESS"), "NUMBER" "120", |text| number(text, 0..=1_000_000),
        "be a whole number from 0 to 1000000",
        "The same for an address (of IPv6 a /64), of requests whose token is refused or that need none; 0: as many as\n\
         they like. Probes are free";
    TRUSTED_PROXIES: Vec<IpNet> = "trusted-proxies" Some("TRUSTED_PROXIES"), "LIST" "", networks,
        "be networks or addresses, separated by commas, such as 10.0.0.0/8,::1",
        "The proxies whose X-Forwarded-For is believed: their networks, separated by commas";
    METRICS_ADDR: SocketAddr = "metrics-addr" Some("METRICS_ADDR"), "IP:PORT" "", |text| text.parse().ok(),
        "be an IP address and a port, such as 127.0.0.1:9464",
        "Where Prometheus reads /metrics: an address that the world does not reach. Left out, there is none";
    SERVER_TIMING: bool = "server-timing" Some("SERVER_TIMING"), "BOOL" "false", boolean,
        "be true or false",
        "Whether answers tell everybody how long they took and how much of it was the database's (Server-Timing)";
    CORS: Cors = "cors-allowed-origins" Some("CORS_ALLOWED_ORIGINS"), "LIST" "", cors,
        "be origins as browsers send them, separated by commas: scheme://host or scheme://host:port in lower case, \
         without path, trailing slash or default port; or * alone. One * may stand in the first label of a name that \
         has at least two more, as in https://*.example.com or https://app-*.example.com",
        "The origins whose pages may call the server, separated by commas, or * for all, such as\n\
         https://app.example.com,http://localhost:3000. A * in the first label of a name stands for 1 or\n\
         more of a-z, 0-9 and -, as in https://app-*.example.com: whoever gets such a name may call";
    MCP: bool = "mcp" Some("MCP"), "BOOL" "", boolean,
        "be on or off",
        "Whether agents are served their tools, at /mcp (Model Context Protocol): on or off. Left out, it is on in\n\
         development mode alone. Elsewhere it needs PUBLIC_URL: only tokens whose aud is that with /mcp behind it\n\
         are taken there";
    AUTHORIZATION_SERVERS: Vec<String> = "authorization-servers" Some("AUTHORIZATION_SERVERS"), "LIST" "", authorization_servers,
        "be the issuers of authorization servers, separated by commas: https:// addresses without query or fragment, such \
         as https://auth.example.com; http:// is taken for this machine only",
        "Where agents get tokens for /mcp: the issuers (iss) of authorization servers, separated by commas, whose\n\
         keys are those above. Left out, it is JWT_ISSUER where that is an address";

    DATABASE_URL: String = "database-url" Some("DATABASE_URL"), "URL" "", database_url,
        "be an address that begins with postgresql://, postgres:// or sqlite:",
        "Where tasks are stored: postgresql://… (Neon's connection string as copied) or sqlite://…\n\
         On a loopback address it may be left out and is sqlite://data/tasks.db";
    DATABASE_URL_UNPOOLED: String = "database-url-unpooled" Some("DATABASE_URL_UNPOOLED"), "URL" "", database_url,
        "be an address that begins with postgresql://, postgres:// or sqlite:",
        "A direct connection to the same database, for migrations, where DATABASE_URL is a pooler's";
    DATABASE_SCHEMA: String = "database-schema" Some("DATABASE_SCHEMA"), "NAME" "", schema,
        "be the name of a schema of PostgreSQL: 1 to 63 bytes without control characters, and none of PostgreSQL's own",
        "The schema of PostgreSQL in which the tables are, where public belongs to others. Left out, it is public";
    DATABASE_MAX_CONNECTIONS: u32 = "database-max-connections" Some("DATABASE_MAX_CONNECTIONS"), "NUMBER" "10", |text| number(text, 1..=1000),
        "be a whole number from 1 to 1000",
        "The most connections to the database at a time: 1 to 1000";
    DATABASE_TLS: DatabaseTls = "database-tls" Some("DATABASE_TLS"), "MODE" "verified", |text| mode(text, DatabaseTls::Verified, DatabaseTls::Off),
        "be verified or off",
        "verified: the certificate of a remote database is checked, whatever DATABASE_URL says\n\
         off: sslmode in DATABASE_URL decides, also for plain text";
    CHANGES_KEEP_DAYS: u16 = "changes-keep-days" Some("CHANGES_KEEP_DAYS"), "DAYS" "30", |text| number(text, 1..=3650),
        "be a whole number from 1 to 3650",
        "For how many days it is known which tasks were deleted, whose ids are not free until then: 1 to 3650";
    CHANGES_POLL: Duration = "changes-poll-seconds" Some("CHANGES_POLL_SECONDS"), "SECONDS" "1", |text| seconds(text, 0..=60),
        "be a whole number from 0 to 60",
        "How often it is looked what other servers have changed, while clients wait for changes: 1 to 60 s\n\
         0: never, where there is one server, or the database is to sleep";
    MIGRATE_ON_START: bool = "migrate-on-start" Some("MIGRATE_ON_START"), "BOOL" "", boolean,
        "be true or false",
        "Whether the server brings the schema up to date when it starts: true or false\n\
         Left out, it is true for SQLite and false for PostgreSQL";

    JWT_SECRET: Secret = "jwt-secret" Some("JWT_SECRET"), "SECRET" "", secret,
        "have at least 32 bytes; `openssl rand -hex 32` makes one that has",
        "The secret that tokens are signed with: at least 32 bytes for HS256, 48 for HS384, 64 for HS512; best\n\
         set as a variable, as others see flags. Without any key the server runs in development mode, on a\n\
         loopback address only";
    JWT_SECRET_PREVIOUS: Secret = "jwt-secret-previous" Some("JWT_SECRET_PREVIOUS"), "SECRET" "", secret,
        "have at least 32 bytes, as the secret before JWT_SECRET had",
        "The secret before it, while tokens that were signed with that one are still to be taken";
    BETTER_AUTH_SECRET: Secret = "better-auth-secret" Some("BETTER_AUTH_SECRET"), "SECRET" "", secret,
        "have at least 32 bytes; `openssl rand -hex 32` makes one that has",
        "The same under Better Auth's name; JWT_SECRET wins";
    JWKS_URL: Url = "jwks-url" Some("JWKS_URL"), "URL" "", jwks_url,
        "be an https:// address without user name, password or fragment; http:// is taken for this machine only, as in \
         http://localhost:3000/api/auth/jwks, unless JWKS_TLS=off",
        "Where the issuer publishes its keys (EdDSA, ES256 to ES512, RS256 to RS512, PS256 to PS512), such as\n\
         https://auth.example.com/api/auth/jwks. JWT_SECRET beside it is for a move; BETTER_AUTH_SECRET\n\
         yields to it";
    JWKS_TLS: bool = "jwks-tls" Some("JWKS_TLS"), "MODE" "verified", |text| mode(text, true, false),
        "be verified or off",
        "verified: the keys come by https, or from this machine\n\
         off: http:// of any host is taken, where nobody else is on the way; https stays verified";
    JWT_PUBLIC_KEY: String = "jwt-public-key" Some("JWT_PUBLIC_KEY"), "KEY" "", public_key,
        "be a public key in PEM or JWK, a JWK Set, or the path of a file of one",
        "The issuer's public key, where it publishes none: a PEM, a JWK, a JWK Set, or the path of a file of\n\
         one. Two PEMs, one behind the other, are two keys. In place of JWKS_URL";
    JWT_ISSUER: String = "jwt-issuer" Some("JWT_ISSUER"), "TEXT" "", issuer,
        "be one issuer, without control characters; there can be no second one",
        "The issuer that tokens must name (iss). When not given, it is not checked";
    JWT_AUDIENCE: Vec<String> = "jwt-audience" Some("JWT_AUDIENCE"), "LIST" "", audiences,
        "be one or more audiences, separated by commas, none of them empty or with control characters",
        "The audiences of which tokens must name one (aud), separated by commas. When not given, it is not\n\
         checked";
    JWT_AUDIENCE_CLAIM: &'static str = "jwt-audience-claim" Some("JWT_AUDIENCE_CLAIM"), "CLAIM" "aud", audience_claim,
        "be aud, client_id or azp",
        "Where it is: aud, or client_id or azp for issuers whose tokens have no aud, as Cognito's access tokens";
    JWT_USER_CLAIM: String = "jwt-user-claim" Some("JWT_USER_CLAIM"), "CLAIM" "sub", user_claim,
        "be the name of a claim that tells users apart, without control characters, such as sub, user_id or oid",
        "The claim that is the user's id. Whoever changes it later hides everybody's tasks from them";
    JWT_LEEWAY: Duration = "jwt-leeway-seconds" Some("JWT_LEEWAY_SECONDS"), "SECONDS" "15", |text| seconds(text, 0..=300),
        "be a whole number from 0 to 300",
        "By how much the issuer's clock may differ: 0 to 300 s";

    RUST_LOG: String = "rust-log" Some("RUST_LOG"), "FILTER" "info", log_filter,
        "be a level (error, warn, info, debug, trace or off), or a list such as info,tasks_server=debug",
        "What is logged: a level, or levels by module, such as info,tasks_server=debug";
    LOG_FORMAT: LogFormat = "log-format" Some("LOG_FORMAT"), "FORMAT" "auto", log_format,
        "be auto, text or json",
        "The form of the log: text, json, or auto: text on a terminal, JSON elsewhere";

    SUB: UserId = "sub" None, "ID" "", subject,
        "be a user id, 1 to 255 characters without control characters, and not me, which means the caller",
        "The user whom the token stands for";
    AUD: String = "aud" None, "TEXT" "", line,
        "be an audience, without control characters",
        "The audience that the token names, in place of JWT_AUDIENCE's first: for agents PUBLIC_URL with /mcp behind\n\
         it. Of one that is not in JWT_AUDIENCE, the issuer is the first of AUTHORIZATION_SERVERS";
    TTL: Duration = "ttl" None, "TIME" "1h", ttl,
        "be a whole number with s, m, h or d, such as 15m, and at most 365d",
        "How long the token is good: 30s, 15m, 1h, 7d, at most 365d";
}

/// The settings by subject, as `--help` shows them.
pub(super) type Group = (&'static str, &'static [Facts]);
pub(super) const EDGE: Group = (
    "Listener",
    &[
        LISTEN.facts,
        PORT.facts,
        PUBLIC_URL.facts,
        REQUIRE_IF_MATCH.facts,
        REQUEST_TIMEOUT.facts,
        EXPORT_TIMEOUT.facts,
        SHUTDOWN_GRACE.facts,
        CORS.facts,
        MAX_CONNECTIONS.facts,
        RATE_LIMIT.facts,
        RATE_LIMIT_ADDRESS.facts,
        TRUSTED_PROXIES.facts,
        METRICS_ADDR.facts,
        SERVER_TIMING.facts,
        MCP.facts,
    ],
);
pub(super) const DATABASE: Group = (
    "Database",
    &[
        DATABASE_URL.facts,
        DATABASE_URL_UNPOOLED.facts,
        DATABASE_SCHEMA.facts,
        DATABASE_MAX_CONNECTIONS.facts,
        DATABASE_TLS.facts,
        MIGRATE_ON_START.facts,
        CHANGES_KEEP_DAYS.facts,
        CHANGES_POLL.facts,
    ],
);
/// What of it migrations need.
const SCHEMA: Group =
    ("Database", &[DATABASE_URL.facts, DATABASE_URL_UNPOOLED.facts, DATABASE_SCHEMA.facts, DATABASE_TLS.facts]);
const IDENTITY: Group = (
    "Tokens",
    &[
        JWKS_URL.facts,
        JWKS_TLS.facts,
        JWT_PUBLIC_KEY.facts,
        JWT_SECRET.facts,
        JWT_SECRET_PREVIOUS.facts,
        BETTER_AUTH_SECRET.facts,
        JWT_ISSUER.facts,
        JWT_AUDIENCE.facts,
        JWT_AUDIENCE_CLAIM.facts,
        JWT_USER_CLAIM.facts,
        JWT_LEEWAY.facts,
        AUTHORIZATION_SERVERS.facts,
    ],
);
const LOG: Group = ("Log", &[RUST_LOG.facts, LOG_FORMAT.facts]);
pub(super) const ALL: [Group; 4] = [EDGE, DATABASE, IDENTITY, LOG];

/// How long it remembers.
const MEMORY: Group = ("Database", &[CHANGES_KEEP_DAYS.facts]);

/// What of it the embedded database needs.
const FILE: Group = ("Database", &[DATABASE_URL.facts]);

/// What of the listener a health check needs.
const ADDRESS: Group = ("Listener", &[LISTEN.facts, PORT.facts]);

/// The names of arguments: those of `migrate`, and those of `backup` and `healthcheck`.
pub(super) const MIGRATION: &str = "up|down|status|role";
pub(super) const ROLE: &str = "NAME";
pub(super) const EPOCH: &str = "new";
pub(super) const COPY: &str = "FILE";
pub(super) const READY: &str = "ready";
pub(super) const NO_ENV_FILE: &str = "no-env-file";

/// The command line, from which manual pages and completions are made too.
#[must_use]
pub fn command() -> clap::Command {
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
             In .env, values with spaces, quotes, # or $ stand in single quotes.",
        )
        .arg(
            Arg::new(NO_ENV_FILE)
                .long(NO_ENV_FILE)
                .action(ArgAction::SetTrue)
                .global(true)
                .help("Leave the file .env of the working directory unread"),
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
    let purge =
        clap::Command::new("purge").about("Forget idempotency keys and deletions that have expired, of all users");
    let epoch = clap::Command::new("epoch")
        .about("After a restore: have clients read everything anew")
        .arg(Arg::new(EPOCH).required(true).value_parser([EPOCH]).help(
        "Tells the database from its past: what clients know of it from before the restore is not taken for what it\n\
             is now",
    ));
    let export = clap::Command::new("export")
        .about("Write all that is held of a user to standard output, as JSON Lines")
        .arg(SUB.facts.arg().required(true));
    let erase = clap::Command::new("erase")
        .about("Erase all that is held of a user, for good")
        .arg(SUB.facts.arg().required(true));
    let backup = clap::Command::new("backup")
        .about("Copy the embedded database (SQLite), also while a server runs")
        .arg(Arg::new(COPY).required(true).help("The file that the copy becomes; there must be none of that name"));
    let healthcheck = clap::Command::new("healthcheck")
        .about("Ask the server of these settings whether it serves, for images that have no shell: 0 is yes, 1 is no")
        .arg(
            Arg::new(READY)
                .long(READY)
                .action(ArgAction::SetTrue)
                .help("Whether it can use its database, too: /readyz in place of /livez"),
        );
    let token = clap::Command::new("token")
        .about("Print a token that is signed with the server's secret or development key")
        .args([SUB.facts.arg().required(true), TTL.facts.arg(), AUD.facts.arg()]);
    with(root, &ALL)
        .subcommand(with(serve, &ALL))
        .subcommand(with(migrate, &[SCHEMA, LOG]))
        .subcommand(with(purge, &[SCHEMA, MEMORY, LOG]))
        .subcommand(with(epoch, &[SCHEMA, LOG]))
        .subcommand(with(export, &[SCHEMA, LOG]))
        .subcommand(with(erase, &[SCHEMA, LOG]))
        .subcommand(with(backup, &[FILE, LOG]))
        .subcommand(with(healthcheck, &[ADDRESS, LOG]))
        .subcommand(with(token, &[IDENTITY, LOG]))
}
