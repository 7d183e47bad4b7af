//! Settings: flags, environment and a `.env` file, in this order of precedence.
//!
//! [`load`] runs before anything else and either gives a typed [`Invocation`] or the [`Stop`] that ends the process.
//! A value that is not as expected stops the start and is never shown: it may be a secret, or one in the wrong place.
//! That is why flags reach us as plain text and are read here, and not by the argument parser, which repeats in its
//! messages what it was given.
//!
//! Each file uses those below it:
//!
//! | file | what it is for |
//! | --- | --- |
//! | `given` | what was given becomes typed settings |
//! | `env_file` | the file `.env` |
//! | `table` | the table of settings, and the command line that it makes |
//! | `values` | what a value must be |
//! | `stop` | why it ends before it has begun |
//! | `settings` | what the process was started for, in types |

mod env_file;
mod given;
mod settings;
mod stop;
mod table;
mod values;

use std::env;
use std::ffi::OsString;

use clap::ArgMatches;

use crate::config::env_file::EnvFile;
use crate::config::given::{Given, copy, migration};
pub use crate::config::settings::{
    Command, DEVELOPMENT_KEY, Identity, Invocation, Keys, Migration, Public, Settings, Shared,
};
pub use crate::config::stop::Stop;
pub use crate::config::table::command;
use crate::config::table::{ALL, AUD, CHANGES_KEEP_DAYS, NO_ENV_FILE, READY, SUB, TTL};
use crate::edge::healthcheck::Probe;

/// Reads the process's arguments, its environment and the file `.env` in its working directory.
///
/// # Errors
/// The text of `--help` or `--version`, or what is wrong: the setting and what it must be, never its value.
pub fn load() -> Result<Invocation, Stop> {
    let matches = command().try_get_matches()?;
    let is_ours =
        |name: &str| ALL.iter().flat_map(|(_, settings)| *settings).any(|setting| setting.variable == Some(name));
    let leaves_file = [Some(&matches), matches.subcommand().map(|(_, matches)| matches)];
    let leaves_file = leaves_file.into_iter().flatten().any(|matches| matches.get_flag(NO_ENV_FILE));
    let file = if leaves_file { EnvFile::default() } else { env_file::load(is_ours) };
    for setting in ALL.iter().flat_map(|(_, settings)| *settings) {
        if setting.variable.and_then(env::var_os).is_some_and(|value| value.to_str().is_none()) {
            return Err(Stop::new(format!("{setting} must be UTF-8")));
        }
    }
    let outcome = read(&matches, |name| match env::var(name) {
        Ok(value) if !value.is_empty() => Ok(Some(value)),
        _ => file.get(name),
    });
    with_file(outcome, file)
}

/// What becomes of a start, with what there was of the file `.env`. One that could not be read may hold what is missing.
fn with_file(outcome: Result<(Invocation, bool), Stop>, file: EnvFile) -> Result<Invocation, Stop> {
    match (outcome, &file.unreadable) {
        (Err(stop), Some(why)) => Err(Stop::new(format!("{stop}. Besides, {why}"))),
        (Err(stop), None) => Err(stop),
        (Ok((_, true)), Some(why)) => Err(Stop::new(format!(
            "{why}. A key or a database may be named in it: mend it, name both in the environment, or leave it out with \
             --{NO_ENV_FILE}"
        ))),
        (Ok((invocation, _)), _) => Ok(Invocation { warnings: file.warnings(), ..invocation }),
    }
}

/// Reads these arguments, of which the first is the program's name, and these variables.
///
/// # Errors
/// As [`load`].
pub fn parse<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Invocation, Stop> {
    read(&command().try_get_matches_from(arguments)?, |name| Ok(environment(name))).map(|(invocation, _)| invocation)
}

/// What was asked for, and whether a default stands for a key or a database.
fn read(
    root: &ArgMatches,
    environment: impl Fn(&str) -> Result<Option<String>, Stop>,
) -> Result<(Invocation, bool), Stop> {
    let (name, matches) = root.subcommand().unwrap_or(("serve", root));
    let given = Given { matches: [matches, root], environment };
    let log = given.log()?;
    let command = match name {
        "migrate" => Command::Migrate(migration(matches)?, given.database()?),
        "purge" => Command::Purge(given.database()?, given.required(&CHANGES_KEEP_DAYS)?),
        "epoch" => Command::Epoch(given.database()?),
        "export" => Command::Export(given.database()?, given.required(&SUB)?),
        "erase" => Command::Erase(given.database()?, given.required(&SUB)?),
        "backup" => Command::Backup(copy(matches)?, given.database()?),
        "healthcheck" => Command::Healthcheck(
            given.listen()?.addresses,
            if matches.get_flag(READY) { Probe::Ready } else { Probe::Live },
        ),
        "token" => Command::Token {
            sub: given.required(&SUB)?,
            ttl: given.required(&TTL)?,
            identity: Box::new(given.signing_identity()?),
            audience: given.optional(&AUD)?,
        },
        _ => Command::Serve(Box::new(given.settings()?)),
    };
    let is_bare = given.is_bare(&command)?;
    Ok((Invocation { log, warnings: Vec::new(), command }, is_bare))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::given::EMBEDDED_DATABASE;
    use crate::config::table::Facts;
    use crate::edge::bind::Addresses;
    use crate::edge::cors::{Cors, Origin};
    use crate::edge::log::{Log, LogFormat};
    use crate::identity::claims::Expected;
    use crate::storage::settings::DatabaseTls;

    const KEY: &str = "0123456789abcdef0123456789abcdef";
    /// An Ed25519 key (RFC 8037 §A.2).
    const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----";
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
        let outranks = |name| {
            name == variable
                || (name == "JWT_SECRET" && ["BETTER_AUTH_SECRET", "JWKS_URL", "JWT_PUBLIC_KEY"].contains(&variable))
        };
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
        settings.unwrap().listen.addresses.to_string()
    }

    #[test]
    fn without_settings_it_serves_this_machine_in_development_mode() {
        for arguments in ["", "serve"] {
            let settings = serve(arguments, &[]).unwrap();
            assert_eq!(settings.listen.addresses.to_string(), "127.0.0.1:8080");
            assert_eq!(settings.database.url, "sqlite://data/tasks.db");
            assert_eq!(settings.database.migration_url, None);
            assert_eq!(settings.database.max_connections, 10);
            assert_eq!(settings.database.tls, DatabaseTls::Verified);
            assert!(settings.database.migrate_on_start);
            assert!(settings.identity.keys.is_development());
            let leeway = Duration::from_secs(15);
            assert_eq!(settings.identity.expected, Expected { leeway, ..Expected::default() });
            assert_eq!(settings.cors, None);
            assert_eq!(settings.public_url.to_string(), "");
            assert_eq!(settings.request_timeout, Duration::from_secs(15));
            assert_eq!(settings.export_timeout, Duration::from_mins(10));
            assert_eq!(settings.shutdown_grace, Duration::from_secs(10));
        }
        let log = run("", &[]).unwrap().log;
        assert_eq!(log, Log { filter: "info".to_owned(), format: LogFormat::Auto });
    }

    #[test]
    fn every_default_is_a_value_that_is_taken() {
        let defaults: Vec<_> = settings().filter(|setting| !setting.default.is_empty()).collect();
        assert_eq!(defaults.len(), 19);
        let flags: Vec<_> = defaults.iter().map(|setting| format!("--{} {}", setting.flag, setting.default)).collect();
        let (given, not) = (serve(&flags.join(" "), &[]).unwrap(), serve("", &[]).unwrap());
        assert_eq!(format!("{given:?}"), format!("{not:?}"));
    }

    fn settings() -> impl Iterator<Item = Facts> {
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
        assert_eq!(address(serve("", &[("LISTEN", "localhost:1"), ("PORT", "3000")])), "localhost:3000");
    }

    #[test]
    fn a_port_alone_is_public_where_a_key_and_a_database_are_named_and_the_reason_is_told() {
        const DATABASE: (&str, &str) = ("DATABASE_URL", "postgresql://h/d");
        const JWKS: (&str, &str) = ("JWKS_URL", "https://auth.example.com/jwks");
        let listen = |arguments: &str, more: &[(&str, &str)]| {
            let settings = serve(arguments, &[&[("PORT", "3000")], more].concat()).unwrap();
            (settings.listen.addresses.to_string(), settings.listen.reason)
        };
        for key in [("JWT_SECRET", KEY), ("BETTER_AUTH_SECRET", KEY), JWKS] {
            let (addresses, reason) = listen("", &[key, DATABASE]);
            assert_eq!(addresses, "[::]:3000");
            assert!(reason.contains("PORT is set and LISTEN is not") && reason.contains("all addresses"), "{reason}");
            assert_eq!(listen("--port 4000", &[key, DATABASE]).0, "[::]:4000");
            assert_eq!(listen("", &[key, DATABASE, ("LISTEN", "")]).0, "[::]:3000", "an empty LISTEN is none");
            for (arguments, more) in
                [("", vec![key]), ("", vec![DATABASE]), ("", vec![]), ("", vec![key, ("DATABASE_URL", "")])]
            {
                let (addresses, reason) = listen(arguments, &more);
                assert_eq!(addresses, "127.0.0.1:3000", "{more:?}");
                assert!(reason.contains("JWKS_URL") && reason.contains("DATABASE_URL"), "{reason}");
            }
            for (address, with_port) in [("127.0.0.1:1", "127.0.0.1:3000"), ("0.0.0.0:1", "0.0.0.0:3000")] {
                let (addresses, reason) = listen("", &[key, DATABASE, ("LISTEN", address)]);
                assert_eq!((addresses.as_str(), reason), (with_port, "LISTEN says so, given or by default"));
            }
        }
    }

    #[test]
    fn localhost_is_the_only_name_to_listen_on() {
        let settings = serve("", &[("LISTEN", "localhost:8081")]).unwrap();
        assert_eq!(settings.listen.addresses, Addresses::Localhost(8081));
        for name in [
            "LOCALHOST:1",
            "localhost",
            "localhost:",
            "localhost:x",
            "localhost:65536",
            "example.com:80",
            "localhost.:1",
        ] {
            let text = stop("", &[("LISTEN", name)]);
            assert!(text.contains("localhost and a port; other names are not looked up"), "{name}: {text}");
        }
    }

    #[test]
    fn sockets_of_systemd_go_first_and_need_a_key_and_a_database() {
        let pid = std::process::id().to_string();
        let sockets = [("LISTEN_PID", pid.as_str()), ("LISTEN_FDS", "1"), ("LISTEN", "127.0.0.1:1"), ("PORT", "2")];
        let with = |more: &[(&'static str, &'static str)]| [sockets.as_slice(), more].concat();
        let (key, database) = (("JWT_SECRET", KEY), ("DATABASE_URL", "sqlite://x"));
        let settings = serve("", &with(&[key, database])).unwrap();
        assert_eq!(settings.listen.addresses, Addresses::FromSystemd);
        let text = stop("", &with(&[key]));
        assert!(text.contains("DATABASE_URL") && text.contains("systemd hands over the sockets"), "{text}");
        let text = stop("", &with(&[database]));
        assert!(text.contains("JWT_SECRET") && text.contains("systemd hands over the sockets"), "{text}");
        // Another process's, or none.
        for other in [("LISTEN_PID", "1"), ("LISTEN_FDS", "0"), ("LISTEN_FDS", "x"), ("LISTEN_PID", "")] {
            let variables: Vec<_> = sockets.into_iter().filter(|(name, _)| *name != other.0).chain([other]).collect();
            assert_eq!(address(serve("", &variables)), "127.0.0.1:2", "{other:?}");
        }
    }

    #[test]
    fn a_public_url_is_an_origin_and_a_path() {
        for (text, origin, prefix) in [
            ("https://example.com", "https://example.com", ""),
            ("https://example.com/", "https://example.com", ""),
            ("https://example.com/tasks", "https://example.com", "/tasks"),
            ("https://example.com/tasks/", "https://example.com", "/tasks"),
            ("https://example.com:8443/a/b-c_d.e~f/", "https://example.com:8443", "/a/b-c_d.e~f"),
            ("HTTPS://Example.COM:443/Tasks", "https://example.com", "/Tasks"),
            ("http://localhost:9000/tasks", "http://localhost:9000", "/tasks"),
            ("http://[::1]:9000", "http://[::1]:9000", ""),
        ] {
            let public_url = with("PUBLIC_URL", text).unwrap().public_url;
            assert_eq!((public_url.origin.as_str(), public_url.prefix.as_str()), (origin, prefix), "{text}");
            assert_eq!(public_url.is_https(), origin.starts_with("https:"));
        }
        for wrong in [
            "example.com/canary",
            "/canary",
            "//example.com/canary",
            "ftp://example.com/canary",
            "https:///",
            "https:example.com/canary",
            "https://example.com/canary?x",
            "https://example.com/canary?",
            "https://example.com/canary#x",
            "https://example.com/#",
            "https://canary@example.com/",
            "https://u:canary@example.com/",
            "https://example.com/a/../canary",
            "https://example.com/./canary",
            "https://example.com/..",
            "https://example.com//canary",
            "https://example.com/a//canary",
            "https://example.com\\canary",
            "https://example.com/canary%20x",
            "https://example.com/canary x",
            "https://example.com/canary\"x",
            "https://example.com/canary'x",
            "https://example.com/<canary>",
            "https://example.com/${canary}",
            "https://example.com/{canary}",
            "https://example.com/canäry",
            "https://example.com/canary\nx",
            "https://exa mple.com/canary",
        ] {
            let stop = with("PUBLIC_URL", wrong).unwrap_err().to_string();
            assert!(stop.contains("PUBLIC_URL (--public-url) must be") && !stop.contains("canary"), "{wrong}: {stop}");
        }
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
    fn public_keys_go_before_better_auth_secret_and_beside_jwt_secret() {
        let jwks = ("JWKS_URL", "https://auth.example.com/api/auth/jwks");
        let keys = |variables: &[(&str, &str)]| {
            let keys = serve("", variables).unwrap().identity.keys;
            match &keys.public {
                Some(Public::Published { url, .. }) => assert_eq!(url.as_str(), jwks.1),
                Some(Public::Given(keys)) => assert_eq!(format!("{keys:?}"), "PublicKeys(1)"),
                None => panic!("{keys:?}"),
            }
            (keys.shared.map(|shared| shared.variable), keys.previous.is_some(), keys.ignores_secret)
        };
        let ignores = |variables: &[(&str, &str)]| {
            let (shared, previous, ignores) = keys(variables);
            assert_eq!((shared, previous), (None, false));
            ignores
        };
        assert!(!ignores(&[jwks]));
        assert!(ignores(&[jwks, ("BETTER_AUTH_SECRET", KEY)]));
        assert!(ignores(&[jwks, ("BETTER_AUTH_SECRET", "short")]));
        assert!(!ignores(&[jwks, ("JWT_SECRET", ""), ("LISTEN", "0.0.0.0:1"), ("DATABASE_URL", "sqlite://x")]));
        let given = ("JWT_PUBLIC_KEY", PUBLIC_KEY);
        assert!(!ignores(&[given]) && ignores(&[given, ("BETTER_AUTH_SECRET", KEY)]));
        let (secret, previous) = (("JWT_SECRET", KEY), ("JWT_SECRET_PREVIOUS", KEY));
        for public in [jwks, given] {
            // A move, in either direction.
            assert_eq!(keys(&[public, secret]), (Some("JWT_SECRET"), false, false));
            assert_eq!(keys(&[public, secret, previous]), (Some("JWT_SECRET"), true, false));
            assert_eq!(keys(&[public, previous]), (None, true, false));
            assert!(stop("", &[public, ("JWT_SECRET", "short")]).contains("JWT_SECRET (--jwt-secret) must have"));
            let token = stop("token --sub alice", &[public]);
            assert!(token.contains(public.0) && token.contains("only the issuer can make tokens"), "{token}");
            assert!(run("token --sub alice", &[public, secret]).is_ok());
        }
        let both = stop("", &[jwks, given]);
        assert!(both.contains("JWKS_URL (--jwks-url) and JWT_PUBLIC_KEY (--jwt-public-key) are both set"), "{both}");
    }

    #[test]
    fn the_previous_secret_is_none_by_itself() {
        let previous = ("JWT_SECRET_PREVIOUS", KEY);
        for variables in [&[previous][..], &[previous, ("LISTEN", "0.0.0.0:1"), ("DATABASE_URL", "sqlite://x")]] {
            assert!(stop("", variables).contains("JWT_SECRET_PREVIOUS (--jwt-secret-previous) is set, and neither"));
        }
        for variable in ["JWT_SECRET", "BETTER_AUTH_SECRET"] {
            let keys = serve("", &[previous, (variable, KEY)]).unwrap().identity.keys;
            assert_eq!(keys.shared.unwrap().variable, variable);
            assert!(keys.previous.is_some());
        }
        assert!(stop("", &[("JWT_SECRET", KEY), ("JWT_SECRET_PREVIOUS", "short")]).contains("JWT_SECRET_PREVIOUS"));
    }

    #[test]
    fn a_key_is_no_secret() {
        let pem = "-----BEGIN PUBLIC KEY-----\ncanary\n-----END PUBLIC KEY-----\n";
        let jwk = format!(r#"{{"kty":"RSA","n":"canary{KEY}","e":"AQAB"}}"#);
        for variable in ["JWT_SECRET", "JWT_SECRET_PREVIOUS", "BETTER_AUTH_SECRET"] {
            for text in
                [pem, &pem.replace('\n', "\\n"), &format!("\"{pem}\""), &pem.replace("PUBLIC", "EC PRIVATE"), &jwk]
            {
                let stop = serve("", &[(variable, text)]).unwrap_err().to_string();
                assert!(stop.contains(variable) && stop.contains("and no secret"), "{stop}");
                assert!(
                    stop.contains("JWT_PUBLIC_KEY") && stop.contains("JWKS_URL") && !stop.contains("canary"),
                    "{stop}"
                );
            }
        }
    }

    #[test]
    fn a_public_key_is_read_at_the_start_and_named_where_it_cannot_be() {
        assert_eq!(
            format!("{:?}", with("JWT_PUBLIC_KEY", PUBLIC_KEY).unwrap().identity.keys.public),
            "Some(Given(PublicKeys(1)))"
        );
        assert!(with("JWT_PUBLIC_KEY", &format!(" {PUBLIC_KEY}\n")).is_ok(), "white space is no part of it");
        for ending in ["", "\\n", "\\r\\n", "\\n\n"] {
            let line = PUBLIC_KEY.trim().replace('\n', "\\n") + ending;
            assert!(with("JWT_PUBLIC_KEY", &line).is_ok(), "{line}");
        }
        for (text, told) in [
            ("/canary/key.pem", "there is none"),
            ("/tmp", "it is a folder"),
            ("https://canary.example.com/jwks", "JWKS_URL"),
            (&PUBLIC_KEY.replace("PUBLIC", "PRIVATE"), "a private key"),
            (&PUBLIC_KEY.replace("PUBLIC KEY", "CERTIFICATE"), "a certificate"),
            (&PUBLIC_KEY.replace("MCow", "canary"), "PEM"),
            (r#"{"kty":"oct","k":"canary"}"#, "secret"),
            ("\"/canary/key.pem\"", "quotation mark"),
            ("${CANARY_canary}", "behind a $"),
        ] {
            let stop = with("JWT_PUBLIC_KEY", text).unwrap_err().to_string();
            assert!(stop.starts_with("JWT_PUBLIC_KEY (--jwt-public-key) must be a public key"), "{stop}");
            assert!(stop.contains(told) && !stop.contains("canary"), "{stop}");
        }
    }

    #[test]
    fn plain_http_of_other_hosts_is_taken_where_it_is_asked_for() {
        let plain = ("JWKS_URL", "http://keycloak:8080/realms/r/protocol/openid-connect/certs");
        let keys = |more: &[(&str, &str)]| serve("", &[&[plain], more].concat()).map(|settings| settings.identity.keys);
        let refused = keys(&[]).unwrap_err().to_string();
        assert!(refused.contains("JWKS_URL (--jwks-url) must be") && refused.contains("JWKS_TLS=off"), "{refused}");
        assert!(keys(&[("JWKS_TLS", "verified")]).is_err());
        assert!(keys(&[("JWKS_TLS", "off")]).unwrap().public.unwrap().is_in_plain_text());
        for safe in [
            "https://auth.example.com/jwks",
            "http://localhost:3000/jwks",
            "http://127.0.0.1/jwks",
            "http://[::1]/jwks",
        ] {
            let keys = serve("", &[("JWKS_URL", safe), ("JWKS_TLS", "off")]).unwrap().identity.keys;
            assert!(!keys.public.unwrap().is_in_plain_text(), "{safe}");
        }
        for wrong in ["file:///canary", "http://u@canary/", "ftp://canary/jwks"] {
            assert!(serve("", &[("JWKS_URL", wrong), ("JWKS_TLS", "off")]).is_err(), "{wrong}");
        }
        for wrong in ["on", "OFF", "false"] {
            assert!(stop("", &[plain, ("JWKS_TLS", wrong)]).contains("JWKS_TLS"), "{wrong}");
        }
    }

    #[test]
    fn audiences_are_a_list_and_issuers_are_none() {
        for (text, audiences) in [
            ("a", &["a"][..]),
            ("a,b", &["a", "b"]),
            ("a, b ,\tc", &["a", "b", "c"]),
            ("https://a.example/,urn:x", &["https://a.example/", "urn:x"]),
            ("two words,é", &["two words", "é"]),
        ] {
            assert_eq!(with("JWT_AUDIENCE", text).unwrap().identity.expected.audience, audiences, "{text}");
        }
        for wrong in [
            "a,,b",
            ",a",
            "a,",
            ",",
            "a, ,b",
            "a\u{1},b",
            " a,b",
            "a,b\n",
            "\"a,b\"",
            "a,${B}",
            "[a,b]",
            "[\"a\"]",
            "a;b",
            "a|b",
            "x,\"a\",y",
            "a,\u{a0}b",
            "https://a https://b",
        ] {
            assert!(
                with("JWT_AUDIENCE", wrong).unwrap_err().to_string().contains("JWT_AUDIENCE (--jwt-audience) "),
                "{wrong}"
            );
        }
        for good in ["https://a.example", "https://a.example/", "a", "Acme, Inc", "CN=a,O=b"] {
            assert_eq!(with("JWT_ISSUER", good).unwrap().identity.expected.issuer.as_deref(), Some(good));
        }
        for wrong in [
            "https://a.example,https://b.example",
            "https://a.example, https://b.example",
            "a,b",
            "https://a ",
            "'a'",
            "https://a https://b",
            "https://a;https://b",
            "a|b",
            "[\"https://a\"]",
            "a.example, b.example",
            "https://a,",
        ] {
            assert!(
                with("JWT_ISSUER", wrong).unwrap_err().to_string().contains("JWT_ISSUER (--jwt-issuer) "),
                "{wrong}"
            );
        }
        for claim in ["client_id", "azp"] {
            let alone = with("JWT_AUDIENCE_CLAIM", claim).unwrap_err().to_string();
            assert!(alone.contains("JWT_AUDIENCE_CLAIM") && alone.contains("JWT_AUDIENCE (--jwt-audience)"), "{alone}");
            let both = serve("", &[("JWT_AUDIENCE_CLAIM", claim), ("JWT_AUDIENCE", "a")]).unwrap();
            assert_eq!(both.identity.expected.audience_claim, claim);
        }
        for wrong in ["cid", "Aud", "aud,azp"] {
            assert!(with("JWT_AUDIENCE_CLAIM", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_claim_that_tells_users_apart_can_name_them() {
        for good in ["sub", "user_id", "oid", "email", "https://example.com/uid", "größe"] {
            assert_eq!(with("JWT_USER_CLAIM", good).unwrap().identity.expected.user_claim, good);
        }
        for wrong in [
            "iss",
            "Iss",
            "aud",
            "azp",
            "client_id",
            "tid",
            "roles",
            "at_hash",
            "updated_at",
            "exp",
            "jti",
            "token_type",
            "email_verified",
            "a\u{1}",
            " sub",
            "\"user_id\"",
            "$CLAIM",
            "sub,user_id",
            "sub;oid",
            "sub|oid",
            "[sub]",
            "{sub}",
            "Email",
            "PHONE_NUMBER",
            "tenant_id",
            "organization",
            "name",
            "resource_access",
        ] {
            let stop = with("JWT_USER_CLAIM", wrong).unwrap_err().to_string();
            assert!(stop.contains("JWT_USER_CLAIM (--jwt-user-claim) "), "{stop}");
        }
    }

    #[test]
    fn agents_are_served_where_somebody_says_so_or_in_development() {
        let with = |more: &[(&str, &str)]| serve("", &[&PUBLIC[..], more].concat());
        assert!(serve("", &[]).unwrap().serves_tools(), "development");
        assert!(!serve("--mcp off", &[]).unwrap().serves_tools());
        assert!(!with(&[]).unwrap().mcp);
        let world = [("PUBLIC_URL", "https://tasks.example/x"), ("AUTHORIZATION_SERVERS", "https://a.example")];
        let quiet = with(&world).unwrap();
        assert!(!quiet.mcp && !quiet.serves_tools(), "where the world finds it opens no door");
        assert!(quiet.identity.expected.tools.is_some(), "and what agents hold opens no other");
        let alone = with(&[("MCP", "on")]).unwrap_err().to_string();
        assert!(alone.contains("MCP (--mcp) is on, and PUBLIC_URL (--public-url) is not set"), "{alone}");
        let audience = ("JWT_AUDIENCE", "tasks");
        let on = |more: &[(&str, &str)]| with(&[&[("MCP", "on"), world[0], audience], more].concat()).unwrap();
        // Something must tell the tokens apart.
        for (more, is_told) in [
            (&[][..], false),
            (&[("JWT_ISSUER", "https://a.example")], false),
            (&[("JWT_ISSUER", "https://i.example")], true),
            (&[audience], true),
        ] {
            let start = with(&[&[("MCP", "on"), world[0], world[1]], more].concat());
            assert_eq!(start.is_ok(), is_told, "{more:?}");
            assert!(
                start.is_ok() || start.unwrap_err().to_string().contains("JWT_AUDIENCE (--jwt-audience) is not set")
            );
        }
        for (more, issuers) in [
            (&[world[1]][..], &["https://a.example"][..]),
            (&[("JWT_ISSUER", "https://i.example")], &["https://i.example"]),
            (&[("JWT_ISSUER", "https://i.example"), world[1]], &["https://a.example"]),
            (
                &[("AUTHORIZATION_SERVERS", "https://a.example/x, http://localhost:3000")],
                &["https://a.example/x", "http://localhost:3000"],
            ),
            (&[("JWT_ISSUER", "tasks")], &[]),
            (&[("JWT_ISSUER", "http://i.example")], &[]),
            (&[], &[]),
        ] {
            let settings = on(more);
            let tools = settings.identity.expected.tools.clone().unwrap();
            assert_eq!(
                (tools.audience.as_str(), tools.issuers),
                ("https://tasks.example/x/mcp", issuers.iter().map(|issuer| (*issuer).to_owned()).collect())
            );
            assert_eq!(settings.serves_tools(), !issuers.is_empty(), "{more:?}");
        }
        for wrong in [
            "canary.example",
            "http://canary.example",
            "https://",
            "https:///x",
            "https://canary.example?x",
            "https://canary.example#x",
            "https://u:p@canary.example",
            "https://a.example https://b.example",
            "https://a.example;https://b.example",
            "https://a.example,",
            ",",
            "[\"https://a.example\"]",
            "https://canary.example/.well-known/openid-configuration",
            "ftp://canary.example",
        ] {
            let stop = serve("", &[("AUTHORIZATION_SERVERS", wrong)]).unwrap_err().to_string();
            assert!(
                stop.contains("AUTHORIZATION_SERVERS (--authorization-servers) must be") && !stop.contains("canary"),
                "{stop}"
            );
        }
        for wrong in ["yes", "ON", "maybe"] {
            assert!(serve("", &[("MCP", wrong)]).unwrap_err().to_string().contains("MCP (--mcp) must be on or off"));
        }
        let token = run("token --sub alice --aud https://tasks.example/mcp", &[("JWT_SECRET", KEY)]).unwrap();
        assert!(
            matches!(token.command, Command::Token { audience: Some(audience), .. } if audience == "https://tasks.example/mcp")
        );
    }

    #[test]
    fn what_cannot_be_meant_is_named_and_never_shown() {
        let secret = "canary7f3a0123456789abcdef0123456789abcdef";
        let spaces = [" ", "\n", "\r\n", "\t", "\u{a0}", "\u{200b}", "\u{feff}", "\u{2028}"];
        let quotes = ["'", "\"", "`", "\u{201c}", "\u{201d}", "\u{2019}"];
        for (variable, value) in [
            ("JWT_SECRET", secret),
            ("JWT_SECRET_PREVIOUS", secret),
            ("BETTER_AUTH_SECRET", secret),
            ("JWT_ISSUER", "canary7f3a"),
            ("JWT_AUDIENCE", "canary7f3a"),
            ("JWT_USER_CLAIM", "canary7f3a"),
            ("JWKS_URL", "https://canary7f3a.example/jwks"),
            ("DATABASE_URL", "postgresql://u:canary7f3a@h/d"),
            ("DATABASE_SCHEMA", "canary7f3a"),
            ("PUBLIC_URL", "https://canary7f3a.example"),
            ("CORS_ALLOWED_ORIGINS", "https://canary7f3a.example"),
            ("RUST_LOG", "info,canary7f3a=debug"),
            ("LOG_FORMAT", "json"),
            ("PORT", "3000"),
        ] {
            let others = if variable == "JWT_SECRET_PREVIOUS" { vec![("JWT_SECRET", KEY)] } else { beside(variable) };
            let given = |value: &str| run("", &[others.as_slice(), &[(variable, value)]].concat());
            assert!(given(value).is_ok(), "{variable}");
            for (ends, word) in [(&spaces[..], "white space"), (&quotes, "quotation mark")] {
                for end in ends {
                    for text in [format!("{end}{value}{end}"), format!("{end}{value}"), format!("{value}{end}")] {
                        let stop = given(&text).unwrap_err().to_string();
                        assert!(stop.contains(variable) && stop.contains(word), "{text:?}: {stop}");
                        assert!(!stop.contains("7f3a"), "{stop}");
                    }
                }
            }
            for reference in [
                "$CANARY_7f3a_0123456789abcdef012345",
                "${CANARY_7f3a_0123456789abcdef012345}",
                "$(cat canary7f3a 0123456789abcdef)",
            ] {
                let stop = given(reference).unwrap_err().to_string();
                assert!(stop.contains(variable) && stop.contains("behind a $") && !stop.contains("7f3a"), "{stop}");
            }
            for blank in [
                "{{ canary7f3a_0123456789abcdef01234567 }}",
                "${{ secrets.CANARY_7f3a_0123456789abcdef }}",
                "<%= canary7f3a_0123456789abcdef0123456 %>",
                "#{CANARY_7f3a_0123456789abcdef01234567}",
                "<your secret canary7f3a, at least 32 bytes>",
                "%CANARY_7f3a_0123456789abcdef012345678%",
                "__CANARY_7f3a_0123456789abcdef0123456__",
                "@CANARY_7f3a_0123456789abcdef012345678@",
            ] {
                let stop = given(blank).unwrap_err().to_string();
                assert!(stop.contains(variable) && stop.contains("template") && !stop.contains("7f3a"), "{stop}");
            }
        }
        for (variable, value) in [
            ("JWT_ISSUER", "https://${HOST}/realms/a"),
            ("JWT_AUDIENCE", "a,${AUDIENCE:-b}"),
            ("DATABASE_URL", "postgresql://u:${PASSWORD}@h/d"),
        ] {
            let stop = with(variable, value).unwrap_err().to_string();
            assert!(stop.contains(variable) && stop.contains("${…}"), "{stop}");
        }
        // What may be meant: keys of Django, base64, hexadecimal digits, prices.
        for secret in [
            "django-insecure-$x(=k^!*_m#2&q%8)w7v$z@e5r${a b}",
            "$2b$12$abcdefghijklmnopqrstuv.wxyz0123456789",
            "pa\"ss'wo rd with quotes and spaces in it",
            "bm90IGEga2V5LCBidXQgbW9yZSB0aGFuIDMyIGJ5dGVz",
            "/bm90IGEga2V5LCBidXQgbW9yZSB0aGFuIDMyIGJ5dGV/",
            "%not a variable, but a sentence with signs%",
            "@7bm90IGEga2V5LCBidXQgbW9yZSB0aGFuIDMyIGJ5@",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            assert!(with("JWT_SECRET", secret).is_ok(), "{secret}");
        }
        assert!(with("DATABASE_URL", "postgresql://u:pa$word$@h/d").is_ok());
        assert!(with("JWT_ISSUER", "https://a.example/$b").is_ok());
        assert!(
            run("token --sub=' --jwt-secret=0123456789abcdef0123456789abcdef", &[]).is_ok(),
            "a user may be anything"
        );
    }

    #[test]
    fn what_others_know_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("canary7f3a-0123456789abcdef0123456789");
        std::fs::write(&file, "x").unwrap();
        for (secret, word) in [
            (file.to_str().unwrap(), "path of a file"),
            ("op://canary7f3a/0123456789abcdef0123456789/password", "an address"),
            ("vault:secret/data/canary7f3a#0123456789abcdef", "an address"),
            ("arn:aws:secretsmanager:eu-1:1:secret:canary7f3a", "an address"),
            ("https://canary7f3a.example.com/.well-known/jwks.json", "an address"),
            ("postgresql://u:canary7f3a@h.example.com/d?sslmode=require", "an address"),
            ("/run/secrets/canary7f3a-that-is-not-mounted-here", "an address"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnk3ZjNhIn0.c2lnbmF0dXJlX29mXzdmM2E", "is a token"),
            ("Bearer canary7f3a0123456789abcdef0123456789", "is a token"),
            ("pk_live_canary7f3a0123456789abcdef0123456789", "published"),
            ("better-auth-secret-12345678901234567890", "everybody knows"),
            ("your-super-secret-jwt-token-with-at-least-32-characters-long", "everybody knows"),
            ("JWT_SECRET=canary7f3a0123456789abcdef0123456789", "name of a setting"),
            ("canary7f3a0123456789abcdef012345\rJWT_AUDIENCE=a", "line break"),
            ("0000000000000000000000000000000000000000", "be guessed"),
        ] {
            let stop = with("JWT_SECRET", secret).unwrap_err().to_string();
            assert!(stop.contains("JWT_SECRET") && stop.contains(word) && !stop.contains("7f3a"), "{stop}");
        }
    }

    #[test]
    fn what_cannot_be_the_name_or_address_of_an_issuer_stops_the_start() {
        for (variable, value) in [
            ("JWT_ISSUER", "https://login.example.com/{tenantid}/v2.0"),
            ("JWT_ISSUER", "https://$HOST/x"),
            ("JWT_ISSUER", "https://{{domain}}/"),
            ("JWT_ISSUER", "https://<tenant>.example.com/"),
            ("JWT_ISSUER", "a.example.com b.example.com"),
            ("JWT_ISSUER", "JWT_ISSUER=https://a.example"),
            ("JWT_ISSUER", "https://"),
            ("JWT_ISSUER", "https:///realms/a"),
            ("JWT_ISSUER", "https://a.example/.well-known/openid-configuration"),
            ("JWT_AUDIENCE", "(a,b)"),
            ("JWT_AUDIENCE", "a,<b>"),
            ("JWKS_URL", "https:///jwks"),
            ("JWKS_URL", "https:a.example.com/j"),
            ("JWKS_URL", "https://$HOST/jwks"),
            ("JWKS_URL", "https://{tenant}.example.com/jwks"),
        ] {
            let others = beside(variable);
            let stop = run("", &[others.as_slice(), &[(variable, value)]].concat()).unwrap_err().to_string();
            assert!(stop.contains(variable) && !stop.contains(value), "{value}: {stop}");
        }
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
        let variable =
            |variables: &[(&str, &str)]| serve("", variables).unwrap().identity.keys.shared.unwrap().variable;
        assert_eq!(variable(&[("JWT_SECRET", KEY)]), "JWT_SECRET");
        assert_eq!(variable(&[("BETTER_AUTH_SECRET", KEY)]), "BETTER_AUTH_SECRET");
        assert_eq!(variable(&[("JWT_SECRET", ""), ("BETTER_AUTH_SECRET", KEY)]), "BETTER_AUTH_SECRET");
        assert_eq!(variable(&[("JWT_SECRET", KEY), ("BETTER_AUTH_SECRET", "short")]), "JWT_SECRET");
        assert!(stop("", &[("JWT_SECRET", "short"), ("BETTER_AUTH_SECRET", KEY)]).contains("JWT_SECRET"));
        assert!(
            serve("--jwt-secret ---0123456789abcdef0123456789abcdef", &[]).is_ok(),
            "a secret may begin with hyphens"
        );
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        let list = "http://localhost:3000, https://app.example.com,https://[::1]:8443,tauri://localhost";
        let Some(Cors::Origins(origins)) = with("CORS_ALLOWED_ORIGINS", list).unwrap().cors else { panic!() };
        let exact = |text: &str| Origin::Exact(text.trim().to_owned());
        assert_eq!(origins, list.split(',').map(exact).collect::<Vec<_>>());
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
    fn a_star_stands_in_the_first_label_below_a_domain() {
        for (pattern, before, after) in [
            ("https://*.example.com", "https://", ".example.com"),
            ("https://app-*.example.app", "https://app-", ".example.app"),
            ("https://*-preview.example.app", "https://", "-preview.example.app"),
            ("https://pr-*-web.a.b.example.app:8443", "https://pr-", "-web.a.b.example.app:8443"),
            ("http://*.local.test:3000", "http://", ".local.test:3000"),
        ] {
            let list = format!("https://a.example, {pattern}");
            let Some(Cors::Origins(origins)) = with("CORS_ALLOWED_ORIGINS", &list).unwrap().cors else { panic!() };
            assert_eq!(origins[1], Origin::Between(before.to_owned(), after.to_owned()));
        }
        for wrong in [
            "https://*",
            "https://*:3000",
            "https://*.com",
            "https://*.com:8443",
            "https://app-*.com",
            "https://*.localhost",
            "https://*.com.",
            "https://*.example.com.",
            "https://*..com",
            "https://*.example..com",
            "https://*.*.example.com",
            "https://**.example.com",
            "https://a.*.example.com",
            "https://a.*.com",
            "https://example.*",
            "https://www.example.*",
            "https://*example",
            "*.example.com",
            "*://a.example.com",
            "http*://a.example.com",
            "https://*.example.com/",
            "https://*.example.com:443",
            "https://*.example.com:*",
            "https://a.example.com:*",
            "https://*:1.example.com",
            "https://*.Example.com",
            "https://u@*.example.com",
            "https://*.0.0.1",
            "https://*.127.0.0.1",
            "https://[*]",
            "https://*.[::1]",
            "https://-*.example.com",
        ] {
            let text = with("CORS_ALLOWED_ORIGINS", wrong).unwrap_err().to_string();
            assert!(
                text.contains("One * may stand in the first label of a name that has at least two more"),
                "{wrong}"
            );
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
                "JWT_ISSUER" | "JWT_AUDIENCE" | "JWT_USER_CLAIM" | "DATABASE_SCHEMA" => format!("{CANARY}\u{1}"),
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
            ("CHANGES_KEEP_DAYS", &["1", "3650"], &["0", "3651", "ten"]),
            ("CHANGES_POLL_SECONDS", &["0", "60"], &["61", "-1", "1s"]),
            ("JWT_LEEWAY_SECONDS", &["0", "300"], &["301", "-1", "1s"]),
            ("EXPORT_TIMEOUT_SECONDS", &["1", "3600"], &["0", "3601", "1m"]),
            ("REQUEST_TIMEOUT_SECONDS", &["1", "300"], &["0", "301", "99999999999999999999"]),
            ("SHUTDOWN_GRACE_SECONDS", &["0", "300"], &["301", "1e2"]),
            ("MIGRATE_ON_START", &["true", "false", "on", "off", "1", "0"], &["yes", "True", "2"]),
            ("DATABASE_SCHEMA", &["tasks", "my \"own\" tasks", "Größe"], &["pg_tasks", "information_schema", "a\nb"]),
            ("DATABASE_TLS", &["verified", "off"], &["on", "VERIFIED", "false"]),
            ("LOG_FORMAT", &["auto", "text", "json"], &["JSON", "pretty"]),
            ("RUST_LOG", &["warn", "info,tasks_server=debug", "off"], &["a=b=c", "info,x=loud"]),
            (
                "LISTEN",
                &["127.0.0.1:0", "localhost:0", "[::]:80"],
                &["8080", ":8080", "example.com:8080", "127.0.0.1", "1.2.3.4:99999"],
            ),
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
        assert!(
            stop("start", &[]).contains("serve, migrate, purge, epoch, export, erase, backup, healthcheck or token")
        );
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
    fn healthcheck_takes_only_where_the_server_listens() {
        let asked = |arguments: &str, variables: &[(&str, &str)]| match run(arguments, variables).unwrap().command {
            Command::Healthcheck(listen, probe) => (listen.to_string(), probe),
            other => panic!("{other:?}"),
        };
        assert_eq!(asked("healthcheck", &[]), ("127.0.0.1:8080".to_owned(), Probe::Live));
        // What a public listener must have beside its address is the server's to ask for.
        assert_eq!(
            asked("healthcheck --ready", &[("LISTEN", "0.0.0.0:80"), ("PORT", "3000"), ("JWT_SECRET", "short")]),
            ("0.0.0.0:3000".to_owned(), Probe::Ready)
        );
        assert_eq!(asked("healthcheck --port 9", &[("PORT", "3000")]).0, "127.0.0.1:9");
        assert!(stop("healthcheck --jwt-secret x", &[]).contains("no flag --jwt-secret"));
        assert!(stop("healthcheck --ready=true", &[]).contains("not understood"));
        assert!(stop("--ready", &[]).contains("no flag --ready"));
    }

    #[test]
    fn token_takes_a_subject_and_a_time() {
        let token = |arguments: &str| run(&format!("token {arguments}"), &[("DATABASE_URL", "x"), ("JWT_ISSUER", "i")]);
        let whole = token("--sub auth0|1").unwrap().command;
        let Command::Token { sub, ttl, identity, audience: None } = whole else { panic!() };
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
                assert!(help.text().contains(&format!("--{} <{}>", setting.flag, setting.value)), "{}", setting.flag);
                let help = help.text().split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(help.contains(&format!("[env: {}]", setting.variable.unwrap())), "{setting}");
            }
        }
        let help = run("migrate --help", &[]).unwrap_err().to_string();
        assert!(help.contains("--database-url") && !help.contains("--jwt-secret"));
        assert_eq!(
            run("--version", &[]).unwrap_err().text(),
            concat!("tasks-server ", env!("CARGO_PKG_VERSION"), "\n")
        );
        command().debug_assert();
    }

    /// The Better Auth app's own file may lie beside the server.
    #[test]
    fn a_secret_that_is_not_needed_need_not_be_readable() {
        let environment = |needed: &'static [(&'static str, &'static str)]| {
            move |name: &str| match name {
                "BETTER_AUTH_SECRET" => Err(Stop::new("BETTER_AUTH_SECRET in line 1 of the file .env is odd")),
                _ => Ok(needed.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())),
            }
        };
        let matches = || command().try_get_matches_from(["tasks-server"]).unwrap();
        let keys = &[("JWKS_URL", "https://a.example/jwks")];
        assert!(read(&matches(), environment(keys)).is_ok());
        assert!(read(&matches(), environment(&[])).unwrap_err().to_string().starts_with("BETTER_AUTH_SECRET"));
    }

    #[test]
    fn an_unreadable_env_file_stops_only_what_may_need_it() {
        let unreadable = || EnvFile::read(b"\xff\xfeJ\0", |_| true);
        let ready = || Ok((run("", &PUBLIC).unwrap(), false));
        let bare = || Ok((run("", &[]).unwrap(), true));
        let warnings = with_file(ready(), unreadable()).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(".env is UTF-16"), "{warnings:?}");
        let stop = with_file(bare(), unreadable()).unwrap_err().to_string();
        assert!(stop.contains(".env is UTF-16") && stop.contains("--no-env-file"), "{stop}");
        let stop = with_file(Err(Stop::new("JWT_SECRET must be set")), unreadable()).unwrap_err().to_string();
        assert!(stop.starts_with("JWT_SECRET must be set. Besides, the file .env"), "{stop}");
        assert!(with_file(bare(), EnvFile::default()).unwrap().warnings.is_empty());
        // Which commands stand with a default: a key or a database.
        for (arguments, variables, expected) in [
            ("", &PUBLIC[..], false),
            ("", &PUBLIC[..2], true),
            ("", &PUBLIC[2..], true),
            ("", &[], true),
            ("migrate up", &PUBLIC[2..], false),
            ("migrate up", &[], true),
            ("purge", &[], true),
            ("epoch new", &[], true),
            ("export --sub a", &[], true),
            ("erase --sub a", &[], true),
            ("backup x", &[], true),
            ("token --sub a", &PUBLIC[1..2], false),
            ("token --sub a", &[], true),
            ("healthcheck", &[], false),
        ] {
            let variables: Vec<_> = variables.iter().filter(|(name, _)| *name != "LISTEN").collect();
            let matches = ["tasks-server"].into_iter().chain(arguments.split_whitespace());
            let environment = |name: &str| {
                Ok(variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
            };
            let (_, is_bare) = read(&command().try_get_matches_from(matches).unwrap(), environment).unwrap();
            assert_eq!(is_bare, expected, "{arguments} {variables:?}");
        }
    }

    #[test]
    fn a_line_of_the_env_file_stops_only_what_needs_it() {
        let with = |arguments: &str, text: &str, environment: &[(&str, &str)]| {
            let file = EnvFile::read(text.as_bytes(), |name| settings().any(|setting| setting.variable == Some(name)));
            let matches = command()
                .try_get_matches_from(["tasks-server"].into_iter().chain(arguments.split_whitespace()))
                .unwrap();
            let outcome = read(&matches, |name| match environment.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => Ok(Some((*value).to_owned())),
                None => file.get(name),
            });
            with_file(outcome, file)
        };
        let cut = format!("JWT_SECRET={KEY}$canary\n");
        let stop = with("", &cut, &[]).unwrap_err().to_string();
        assert!(stop.starts_with("JWT_SECRET in line 1 of the file .env holds a $ outside single quotes"), "{stop}");
        for (arguments, environment) in [
            ("", &[("JWT_SECRET", KEY)][..]),
            ("--jwt-secret 0123456789abcdef0123456789abcdef", &[]),
            ("migrate status", &[]),
        ] {
            let warnings = with(arguments, &cut, environment).unwrap().warnings;
            assert!(
                warnings.len() == 1 && warnings[0].contains("line 1") && !warnings[0].contains("canary"),
                "{warnings:?}"
            );
        }
        assert!(
            with("", "DATABASE_URL = sqlite://x y\n", &[]).unwrap_err().to_string().contains("DATABASE_URL in line 1")
        );
    }

    #[test]
    fn no_env_file_is_a_flag_of_every_command() {
        for arguments in [
            "--no-env-file",
            "serve --no-env-file",
            "--no-env-file serve",
            "migrate up --no-env-file",
            "token --sub a --no-env-file",
        ] {
            assert!(run(arguments, &[]).is_ok(), "{arguments}");
        }
        assert!(run("--no-env-file=true", &[]).is_err());
    }
}
