//! The role of a running server on PostgreSQL: what it may do, and how long its sessions may take.
//!
//! `tasks-server migrate role` makes it, through the owner's connection and in one transaction. Run again, it
//! adds what is missing and takes away what is too much on the server's own tables.

use tasks_migration::{HISTORY, Place, TABLES, quoted};

use crate::storage::failure::{Failure, StorageError};
use crate::storage::schema::PrepareError;
use crate::storage::session::Session;
use crate::storage::statement::{Kind, Reply, Statement, Value};

/// The limits of the role's sessions, in seconds. A server that runs gives up earlier by itself (`postgres.rs`). These
/// end what one left behind that was killed, or lost its way to the database.
const LIMITS: [(&str, u64); 3] =
    [("statement_timeout", 15), ("lock_timeout", 5), ("idle_in_transaction_session_timeout", 10)];

/// A role that a server can run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Whether it was not there before.
    pub is_new: bool,
    /// The role's name as statements write it.
    pub quoted: String,
    /// What it may do beyond what a server needs, a sentence each.
    pub notes: Vec<String>,
}

/// Why there is no such role. Nothing has happened then.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// SQLite knows no roles.
    #[error("`migrate role` is for PostgreSQL: SQLite has no roles, and whoever may write its file may do everything")]
    Sqlite,
    /// The schema is behind, or the database away.
    #[error(transparent)]
    Schema(#[from] PrepareError),
    /// The database refused, or the role is none that could be limited.
    #[error("the role cannot be made: {0}")]
    Refused(#[source] StorageError),
}

impl From<Failure> for RoleError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Said(_) => Self::refused(failure.said()),
            failure => Self::Schema(failure.into()),
        }
    }
}

impl RoleError {
    fn refused(text: impl Into<String>) -> Self {
        Self::Refused(StorageError(text.into()))
    }

    /// Of a failure that names the statements which somebody else may run.
    fn of(failure: Failure, statements: &str) -> Self {
        if failure.is_denied() { Self::beyond(&failure.said(), statements) } else { failure.into() }
    }

    fn beyond(text: &str, statements: &str) -> Self {
        Self::refused(format!("{text}: let somebody who may run `{statements}`, then run this again"))
    }
}

/// Makes the role of this name, or brings it up to date. The caller has a transaction open and knows that the schema is
/// current.
///
/// # Errors
/// As [`RoleError`] says; the transaction is to be rolled back.
pub(crate) async fn make(session: &mut Session, place: &Place, name: &str) -> Result<Role, RoleError> {
    let (role, schema) = (quoted(name), place.schema_name());
    let mut work = Work { session, values: [name.into(), place.name().unwrap_or("public").into()] };
    work.run("SET LOCAL search_path TO pg_catalog").await?;
    let (database, owner, is_owner) = work
        .ask(
            "SELECT current_database()::text, pg_get_userbyid(c.relowner)::text, pg_has_role(c.relowner, 'USAGE') \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $2 AND c.relname = 'tasks'",
        )
        .await?
        .one(|row| {
            let mut columns = row.columns();
            Ok((quoted(&columns.text()?), quoted(&columns.text()?), columns.bool()?))
        })?
        .ok_or_else(|| RoleError::refused("there is no table `tasks`"))?;
    if !is_owner {
        return Err(RoleError::refused(format!(
            "the tables belong to {owner}, and only their owner gives rights on them: name a connection of that role \
             in DATABASE_URL_UNPOOLED"
        )));
    }
    let found = work
        .ask(
            "SELECT r.rolcanlogin, pg_has_role(r.oid, c.relowner, 'MEMBER') FROM pg_roles r, pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE r.rolname = $1 AND n.nspname = $2 AND c.relname = 'tasks'",
        )
        .await?
        .one(|row| {
            let mut columns = row.columns();
            Ok((columns.bool()?, columns.bool()?))
        })?;
    let mut orders = match found {
        None => vec![format!("CREATE ROLE {role} LOGIN")],
        Some((_, true)) => {
            return Err(RoleError::refused(format!(
                "{role} owns the tables or may act as their owner, and cannot be held to less: choose another name"
            )));
        }
        Some((false, _)) => vec![format!("ALTER ROLE {role} LOGIN")],
        Some((true, _)) => Vec::new(),
    };
    let has = work
        .texts(
            "SELECT unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole \
             JOIN pg_database d ON d.oid = s.setdatabase \
             WHERE r.rolname = $1 AND d.datname = current_database()",
        )
        .await?;
    for (limit, seconds) in LIMITS {
        if !has.contains(&format!("{limit}={seconds}s")) {
            orders.push(format!("ALTER ROLE {role} IN DATABASE {database} SET {limit} = '{seconds}s'"));
        }
    }
    for order in &orders {
        work.run(order).await.map_err(|failure| RoleError::of(failure, &orders.join("; ")))?;
    }
    let (tables, history) = (TABLES.map(|table| place.of(table)).join(", "), place.of(HISTORY));
    for grant in [
        // All, as newer versions of PostgreSQL have more kinds of rights.
        format!("REVOKE ALL ON {tables}, {history} FROM {role}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {role}"),
        format!("GRANT SELECT ON {history} TO {role}"),
        format!("ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}"),
    ] {
        work.run(&grant).await?;
    }
    // Who owns the tables need own neither database nor schema. Everybody may use both as a rule: then a grant that this
    // connection cannot make is none that is needed, and PostgreSQL only warns.
    for (check, grant) in [
        (
            "SELECT has_database_privilege($1::name, current_database()::text, 'CONNECT')",
            format!("GRANT CONNECT ON DATABASE {database} TO {role}"),
        ),
        ("SELECT has_schema_privilege($1::name, $2, 'USAGE')", format!("GRANT USAGE ON SCHEMA {schema} TO {role}")),
    ] {
        work.run(&grant).await.map_err(|failure| RoleError::of(failure, &grant))?;
        if work.ask(check).await?.one(|row| row.columns().bool())? != Some(true) {
            return Err(RoleError::beyond("this connection may not give all rights", &grant));
        }
    }
    Ok(Role { is_new: found.is_none(), notes: work.texts(&notes(&schema, &role)).await?, quoted: role })
}

/// Asks what a role may do beyond what a server needs.
fn notes(schema: &str, role: &str) -> String {
    let ours = TABLES.map(|table| format!("'{table}'")).join(", ");
    let others = format!(
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') \
         AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
         AND NOT (n.nspname = $2 AND c.relname IN ({ours}, '{HISTORY}'))"
    );
    // As they stand within a text of the statement.
    let (schema, role) = (schema.replace('\'', "''"), role.replace('\'', "''"));
    format!(
        "SELECT 'it may create databases' FROM pg_roles WHERE rolname = $1 AND rolcreatedb \
         UNION ALL SELECT 'it may create roles' FROM pg_roles WHERE rolname = $1 AND rolcreaterole \
         UNION ALL SELECT 'it may do what ' || quote_ident(g.rolname) || ' may, as its member' \
         FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member \
         WHERE r.rolname = $1 \
         UNION ALL SELECT 'it may create tables in the schema: REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}' \
         WHERE has_schema_privilege($1::name, $2, 'CREATE') \
         UNION ALL SELECT 'it has rights on ' || count(*) || ' other tables or views, such as ' \
         || min(c.oid::regclass::text) {others} \
         AND has_table_privilege($1::name, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') HAVING count(*) > 0 \
         UNION ALL SELECT 'the schema has tables of others: those that this owner adds later will be open to the role; \
         DATABASE_SCHEMA names a schema of one''s own' {others} AND n.nspname = $2 HAVING count(*) > 0"
    )
}

/// The transaction, and what its questions are about: the role's name and the schema's.
struct Work<'a> {
    session: &'a mut Session,
    values: [Value<'a>; 2],
}

impl Work<'_> {
    async fn ask(&mut self, text: &str) -> Result<Reply, Failure> {
        let statement = Statement::new(text, &[Kind::Text, Kind::Text]);
        self.session.run(&statement, &statement.bind(statement.name(), &self.values)?).await
    }

    async fn texts(&mut self, text: &str) -> Result<Vec<String>, Failure> {
        self.ask(text).await?.all(|row| row.columns().text())
    }

    async fn run(&mut self, order: &str) -> Result<(), Failure> {
        self.session.run_text(order).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::storage::postgres::{PATIENCE, SLOW, STATEMENT};
    use crate::storage::session::OUTCOME;

    #[test]
    fn the_servers_own_limits_come_first() {
        let [statement, lock, idle] = LIMITS.map(|(_, seconds)| Duration::from_secs(seconds));
        assert!(statement > SLOW + OUTCOME);
        assert!(lock > STATEMENT + OUTCOME);
        assert!(idle > PATIENCE + STATEMENT + OUTCOME);
    }
}
