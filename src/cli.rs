//! The command line: reads the settings and does what the program was started for.
//!
//! In comes how it was started, out goes its exit code. `main.rs` adds an allocator and nothing else: whatever it awaited would
//! be compiled in the library and once more there.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tasks_api::ExportLine;
use tokio::net::TcpListener;

use crate::Server;
use crate::config::{self, Command, DEVELOPMENT_KEY, Invocation, Migration, Public, Settings};
use crate::edge::healthcheck::healthcheck;
use crate::edge::{log, systemd};
use crate::identity::claims::AUDIENCE;
use crate::identity::secret::{development_key, mint_as_expected};
use crate::storage::backup::backup;
use crate::storage::database::Database;
use crate::storage::settings::DatabaseSettings;
use crate::tasks::repository::Repository;
use crate::tasks::service::{expiry, forgotten};

/// What the log calls the program itself, wherever in the library it is said: filters name it.
const LOG: &str = "tasks_server";

/// Does what the arguments, the environment and `.env` ask for, until it is done or the process is asked to end. What goes
/// wrong is told on standard error.
pub fn main() -> ExitCode {
    let Invocation { log, warnings, command } = match config::load() {
        Ok(invocation) => invocation,
        Err(stop) => return stop.report(),
    };
    // What commands answer is on standard output, and nothing else.
    let _written = log::start(&log, matches!(command, Command::Serve(_)));
    for warning in warnings {
        if matches!(command, Command::Serve(_)) {
            tracing::warn!(target: LOG, "{warning}");
        } else {
            let _ = writeln!(std::io::stderr(), "tasks-server: {warning}");
        }
    }
    let done = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        let done = runtime.block_on(run(command));
        // A look-up of a name that nobody waits for any more does not hold up the end.
        runtime.shutdown_timeout(Duration::from_secs(1));
        done
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell that nobody listens.
            let _ = writeln!(std::io::stderr(), "tasks-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve(settings) => serve(*settings).await,
        Command::Migrate(migration, database) => migrate(migration, &database).await,
        Command::Purge(database, keep_days) => {
            let repository = Repository::new(Database::open_existing(&database)?);
            let count = repository.purge(expiry()).await? + repository.forget(forgotten(keep_days)).await?;
            Ok(writeln!(std::io::stdout(), "forgotten  {count}")?)
        }
        Command::Epoch(database) => {
            let count = Repository::new(Database::open_existing(&database)?).renew().await?;
            Ok(writeln!(std::io::stdout(), "users      {count}")?)
        }
        Command::Export(database, sub) => {
            let mut export = Repository::new(Database::open_existing(&database)?).export(&sub).await?;
            let mut out = std::io::stdout();
            while let Some(lines) = export.lines().await? {
                out.write_all(&ExportLine::text(&lines))?;
            }
            Ok(out.flush()?)
        }
        Command::Erase(database, sub) => {
            let tasks = Repository::new(Database::open_existing(&database)?).erase(&sub).await?;
            let count = tasks.map_or("nothing is held of this user".to_owned(), |tasks| format!("{tasks} tasks"));
            Ok(writeln!(std::io::stdout(), "erased     {count}")?)
        }
        Command::Backup(file, database) => {
            backup(&database, &file).await?;
            Ok(writeln!(std::io::stdout(), "copied     {}", file.display())?)
        }
        Command::Healthcheck(listen, probe) => {
            healthcheck(listen, probe).await?;
            Ok(writeln!(std::io::stdout(), "ok")?)
        }
        Command::Token { sub, ttl, identity, audience } => {
            let secret = if let Some(shared) = identity.keys.shared {
                shared.secret
            } else {
                let is_new = !Path::new(DEVELOPMENT_KEY).exists();
                let secret = development_key(Path::new(DEVELOPMENT_KEY))?;
                if is_new {
                    let note = "a server in another folder has another key, and takes no token of this one";
                    writeln!(std::io::stderr(), "tasks-server: made a new key, {DEVELOPMENT_KEY}: {note}")?;
                }
                secret
            };
            let mut expected = identity.expected;
            if let Some(audience) = audience {
                // For agents it is `aud` that counts, whatever claim does elsewhere, and another issuer.
                if !expected.audience.contains(&audience) {
                    expected.audience_claim = AUDIENCE;
                    expected.issuer = identity.authorization_servers.into_iter().next().or(expected.issuer);
                }
                expected.audience = vec![audience];
            }
            let token = mint_as_expected(&secret, &sub, ttl, &expected)?;
            Ok(writeln!(std::io::stdout(), "{token}")?)
        }
    }
}

async fn serve(settings: Settings) -> Result<(), Box<dyn Error>> {
    let listen = settings.listen;
    let listeners = listen
        .addresses
        .bind()
        .map_err(|error| format!("LISTEN cannot be listened on, {}: {error}", listen.addresses))?;
    let metrics = match settings.metrics {
        None => None,
        Some(address) => Some(
            TcpListener::bind(address).await.map_err(|error| format!("METRICS_ADDR cannot be listened on: {error}"))?,
        ),
    };
    let stop = stop()?;
    let addresses: Vec<_> = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let banner = banner(&listeners, &addresses, &settings)?;
    let server = Server::open(settings).await?;
    tracing::info!(target: LOG, addresses, reason = listen.reason, "listening");
    // On standard error: the log, on standard output, never holds a token.
    let _ = std::io::stderr().write_all(banner.as_bytes());
    systemd::ready();
    let stop = async {
        stop.await;
        systemd::stopping();
    };
    server.serve(listeners, metrics, stop).await;
    Ok(())
}

/// Where the server is and, in development mode, a token for it.
fn banner(listeners: &[TcpListener], addresses: &str, settings: &Settings) -> Result<String, Box<dyn Error>> {
    let base = match (settings.public_url.to_string(), listeners.first().map(TcpListener::local_addr).transpose()?) {
        // A page cannot be opened at the address that means all of them.
        (url, Some(address)) if url.is_empty() && (address.ip().is_unspecified() || listeners.len() > 1) => {
            format!("http://localhost:{}", address.port())
        }
        (url, Some(address)) if url.is_empty() => format!("http://{address}"),
        (url, _) => url,
    };
    let version = env!("CARGO_PKG_VERSION");
    let database = if settings.database.url.starts_with("sqlite") { "SQLite, in a file" } else { "PostgreSQL" };
    let identity = &settings.identity;
    let (keys, token) = if identity.keys.is_development() {
        let secret = development_key(Path::new(DEVELOPMENT_KEY))?;
        let day = Duration::from_hours(24);
        let token = mint_as_expected(&secret, &"developer".parse()?, day, &identity.expected)?;
        let text =
            format!("\nDevelopment mode. A token for today (others: tasks-server token --sub alice):\n\n{token}\n");
        (format!("by the development key {DEVELOPMENT_KEY}"), text)
    } else {
        let public = identity.keys.public.as_ref().map(|public| match public {
            Public::Published { .. } => "by the keys that JWKS_URL publishes",
            Public::Given(_) => "by JWT_PUBLIC_KEY",
        });
        let shared = identity.keys.shared.as_ref().map(|shared| format!("by {}", shared.variable));
        let previous = identity.keys.previous.as_ref().map(|_| "by JWT_SECRET_PREVIOUS".to_owned());
        let all: Vec<_> = [public.map(str::to_owned), shared, previous].into_iter().flatten().collect();
        (all.join(", "), String::new())
    };
    let agents = if settings.serves_tools() { format!("  agents      {base}/mcp\n") } else { String::new() };
    Ok(format!(
        "tasks-server {version}\n\
         \x20 Swagger UI  {base}/docs\n\
         \x20 contract    {base}/openapi.json\n\
         \x20 tasks       {base}/api/me/tasks\n\
         {agents}\
         \x20 listening   {addresses}\n\
         \x20 database    {database}\n\
         \x20 tokens      {keys}\n\
         {token}\n\
         Ready. Ctrl-C ends it.\n"
    ))
}

/// Done when the process is asked to end: SIGTERM, as platforms do, Ctrl-C, or the end of the terminal (SIGHUP).
fn stop() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let (mut terminate, mut hang_up) = {
        use tokio::signal::unix::{SignalKind, signal};
        let hang_up = if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) };
        (signal(SignalKind::terminate())?, hang_up)
    };
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = terminate.recv() => {}
            Some(()) = async { hang_up.as_mut()?.recv().await } => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// Whether the process was started to outlive its terminal, as by `nohup`: to listen for the signal would end that.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    // Signal 1.
    ignored.is_some_and(|ignored| ignored & 1 == 1)
}

async fn migrate(migration: Migration, settings: &DatabaseSettings) -> Result<(), Box<dyn Error>> {
    let database = Database::open(settings)?;
    let mut out = std::io::stdout();
    match migration {
        Migration::Up => match database.migrate_up().await?.as_slice() {
            [] => writeln!(out, "the schema is up to date")?,
            names => names.iter().try_for_each(|name| writeln!(out, "applied    {name}"))?,
        },
        Migration::Down => match database.migrate_down().await? {
            None => writeln!(out, "there is nothing to take back")?,
            Some(name) => writeln!(out, "taken back {name}")?,
        },
        Migration::Status => {
            let history = database.migrate_status().await?;
            for (state, names) in
                [("applied", history.applied), ("pending", history.pending), ("unknown", history.unknown)]
            {
                names.iter().try_for_each(|name| writeln!(out, "{state:<10} {name}"))?;
            }
        }
        Migration::Role(name) => {
            let role = database.make_role(&name).await?;
            let (state, name) = (if role.is_new { "made" } else { "current" }, role.quoted);
            writeln!(out, "{state:<10} {name}")?;
            role.notes.iter().try_for_each(|note| writeln!(out, "note       {note}"))?;
            writeln!(out, "password   yours to set, by \\password {name} in psql; on Neon, which does not take that,")?;
            writeln!(out, "           by ALTER ROLE {name} PASSWORD '…'")?;
        }
    }
    Ok(())
}
