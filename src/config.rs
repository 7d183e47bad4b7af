//! temporary
use std::time::Duration;
use poem::http::HeaderValue;
use crate::database::{DatabaseSettings, DatabaseTls};
use crate::http::Cors;
pub use crate::token::Secret;
use crate::token::{Verifier, Expected};
#[derive(Debug, Clone, Copy)]
pub enum LogFormat { Auto, Text, Json }
pub struct Identity { secret: Secret }
impl Identity { pub fn verifier(&self) -> Verifier { Verifier::shared(&self.secret, Expected { issuer: None, audience: None, leeway: Duration::from_secs(15) }) } }
pub struct Settings { pub listen: String, pub database: DatabaseSettings, pub identity: Identity, pub cors: Option<Cors>, pub request_timeout: Duration, pub shutdown_grace: Duration }
impl Settings {
    pub fn from_variables(v: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        Ok(Self {
            listen: v("LISTEN").unwrap_or("127.0.0.1:8080".into()),
            database: DatabaseSettings { url: v("DATABASE_URL").unwrap_or("sqlite://data/tasks.db".into()), migration_url: None, max_connections: v("DATABASE_MAX_CONNECTIONS").map_or(10, |x| x.parse().unwrap()), tls: DatabaseTls::Verified, migrate_on_start: v("MIGRATE_ON_START").is_some() || !v("DATABASE_URL").unwrap_or_default().starts_with("postgres") },
            identity: Identity { secret: Secret::new(v("JWT_SECRET").unwrap().into_bytes()).unwrap() },
            cors: v("CORS_ALLOWED_ORIGINS").map(|s| Cors::Origins(s.split(',').map(|o| HeaderValue::from_str(o).unwrap()).collect())),
            request_timeout: Duration::from_secs(15), shutdown_grace: Duration::from_secs(10) })
    }
}
