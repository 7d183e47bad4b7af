//! SeaORM's connections, for the migrations: they need what the driver of SeaORM offers, and not what a request needs.

use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::ConnectOptions;
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;

use crate::storage::address::{Address, Host, Pem, Root, SslMode};
use crate::storage::failure::{Failure, Said};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// One connection to SQLite.
pub(crate) async fn to_sqlite(options: SqliteConnectOptions) -> Result<DatabaseConnection, Failure> {
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(one().connect_with(options).await?))
}

/// One connection to PostgreSQL, at a host that was just found well.
pub(crate) async fn to_postgres(address: &Address, host: &Host) -> Result<DatabaseConnection, Failure> {
    let options = options(address, host).map_err(|_| Failure::Bug("an address cannot be written for the driver"))?;
    let pool = one().connect_with(options).await.map_err(|error| unconnected(of_driver(error), address, host))?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// Why the driver does not reach a host that was just found well.
fn unconnected(failure: Failure, address: &Address, host: &Host) -> Failure {
    match (failure, host) {
        (Failure::Lost(_), Host::Tcp { address: Some(_), .. }) if address.mode == SslMode::VerifyFull => Failure::Away(
            "the migrations' driver looks up the name of the host, whatever hostaddr says, and the name leads nowhere: \
             the certificate is for the name, so let it lead to the database"
                .into(),
        ),
        (Failure::Lost(kind), _) => {
            Failure::Away(format!("the connection of the migrations could not be made: {kind}").into())
        }
        (other, _) => other,
    }
}

fn one<DB: sqlx::Database>() -> PoolOptions<DB> {
    PoolOptions::new().max_connections(1).acquire_timeout(CONNECT)
}

/// The driver's own form of an address.
fn options(address: &Address, host: &Host) -> Result<PgConnectOptions, sqlx::Error> {
    // Only from an address can it take this parameter as it is.
    let start = match &address.options {
        Some(options) => format!("postgres://localhost/?options={}", utf8_percent_encode(options, NON_ALPHANUMERIC)),
        None => "postgres://localhost/".to_owned(),
    };
    let mut options = PgConnectOptions::from_str(&start)?
        .username(&address.user)
        .application_name(&address.application_name)
        .extra_float_digits(None)
        .disable_statement_logging();
    if let Some(password) = address.password_for(host) {
        options = options.password(password);
    }
    if let Some(database) = &address.database {
        options = options.database(database);
    }
    options = match host {
        Host::Socket(file) => {
            let port = file.extension().and_then(|port| port.to_str()?.parse().ok()).unwrap_or(5432);
            return Ok(options.socket(file.parent().unwrap_or(file)).port(port).ssl_mode(PgSslMode::Disable));
        }
        // The driver takes one of them. The certificate is for the name.
        Host::Tcp { address: Some(ip), port, .. } if address.mode != SslMode::VerifyFull => {
            options.host(&ip.to_string()).port(*port)
        }
        Host::Tcp { name, port, .. } => options.host(name).port(*port),
    };
    options = options.ssl_mode(match address.mode {
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Prefer => PgSslMode::Prefer,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyCa => PgSslMode::VerifyCa,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
    });
    options = match &address.certificates.root {
        Some(Root::Pem(Pem::File(file))) => options.ssl_root_cert(file),
        Some(Root::Pem(Pem::Inline(text))) => options.ssl_root_cert_from_pem(text.clone().into_bytes()),
        // The driver itself knows only the web's.
        Some(Root::System) | None => options.ssl_root_cert_from_pem(system_roots().into_bytes()),
    };
    if let (Some(certificate), Some(key)) = (&address.certificates.certificate, &address.certificates.key) {
        options = match certificate {
            Pem::File(file) => options.ssl_client_cert(file),
            Pem::Inline(text) => options.ssl_client_cert_from_pem(text),
        };
        options = match key {
            Pem::File(file) => options.ssl_client_key(file),
            Pem::Inline(text) => options.ssl_client_key_from_pem(text),
        };
    }
    Ok(options)
}

fn system_roots() -> String {
    let certificates = rustls_native_certs::load_native_certs().certs;
    // The driver gives up at the first that is of no use, and a system's store may hold such.
    let is_usable = |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    let pem = |text: String| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let usable = certificates.iter().filter(|certificate| is_usable(certificate));
    usable.map(|certificate| pem(STANDARD.encode(certificate))).collect()
}

/// What an error of SeaORM means; its text, where it is one of the migrations themselves.
pub(crate) fn failure(error: &DbErr) -> Result<Failure, String> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Ok(of_driver_ref(error)),
        DbErr::Custom(text) => Err(text.clone()),
        other => Err(other.to_string()),
    }
}

fn of_driver(error: sqlx::Error) -> Failure {
    match of_driver_ref(&error) {
        Failure::Bug(_) => error.into(),
        failure => failure,
    }
}

fn of_driver_ref(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(said) => Failure::Said(Said {
            code: said.code().unwrap_or_default().into_owned(),
            message: said.message().to_owned(),
            is_fatal: false,
        }),
        sqlx::Error::Io(error) => Failure::Lost(error.kind()),
        sqlx::Error::Tls(_) => Failure::Away("the TLS handshake of the migrations' connection failed".into()),
        sqlx::Error::PoolTimedOut => Failure::Away("the database did not answer a new connection in time".into()),
        _ => Failure::Bug("the migrations' driver failed"),
    }
}
