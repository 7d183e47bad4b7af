//! Statements, their values, and the rows that they answer: what both databases have in common.
//!
//! A [`Statement`] is a constant text. Its name is made of that text, so that a name can mean only one statement, in
//! whatever session and beside whatever other process it is used.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::frontend::{self, BindError};
use postgres_protocol::{IsNull, Oid, types};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, ValueRef as _};
use uuid::Uuid;

use crate::storage::failure::Failure;

/// The types of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Bytes,
    Int,
    Json,
    Text,
    Time,
    Uuid,
    Texts,
    Uuids,
}

impl Kind {
    /// PostgreSQL's number of the type (`pg_type.oid`; these never change).
    const fn oid(self) -> Oid {
        match self {
            Self::Bool => 16,
            Self::Bytes => 17,
            Self::Int => 20,
            Self::Json => 114,
            Self::Text => 25,
            Self::Time => 1184,
            Self::Uuid => 2950,
            Self::Texts => 1009,
            Self::Uuids => 2951,
        }
    }
}

/// A value of a statement. Lists are arrays in PostgreSQL, and JSON texts in SQLite: their ids are hexadecimal there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Bytes(&'a [u8]),
    Int(i64),
    Json(&'a str),
    Text(&'a str),
    Time(DateTime<Utc>),
    Uuid(Uuid),
    Texts(&'a [&'a str]),
    Uuids(&'a [Uuid]),
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

/// A statement: its text and the types of its values.
#[derive(Debug)]
pub(crate) struct Statement {
    text: String,
    name: String,
    types: Box<[Oid]>,
    has_rows: bool,
    is_kept: bool,
}

impl Statement {
    /// Of this text, whose `$1`, `$2` … are of these types.
    pub(crate) fn new(text: impl Into<String>, kinds: &[Kind]) -> Self {
        let text = text.into();
        let types: Box<[Oid]> = kinds.iter().map(|kind| kind.oid()).collect();
        let name = name(&text, &types);
        let has_rows = text.starts_with("SELECT") || text.contains(" RETURNING ");
        Self { text, name, types, has_rows, is_kept: true }
    }

    /// One that is planned each time, by the values that it has then, and not kept prepared.
    pub(crate) fn unnamed(text: impl Into<String>, kinds: &[Kind]) -> Self {
        Self { is_kept: false, ..Self::new(text, kinds) }
    }

    /// The same by another name, as drivers give that count them.
    #[cfg(test)]
    pub(crate) fn renamed(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Runs it on a connection with SQLite.
    pub(crate) async fn run(&self, link: &mut SqliteConnection, values: &[Value<'_>]) -> Result<Reply, Failure> {
        let query = self.query(values);
        Ok(if self.has_rows() {
            Reply::Sqlite(query.fetch_all(link).await?, 0)
        } else {
            Reply::Sqlite(Vec::new(), query.execute(link).await?.rows_affected())
        })
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The name under which PostgreSQL keeps it prepared.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is kept prepared.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Whether it only reads.
    pub(crate) fn reads(&self) -> bool {
        self.text.starts_with("SELECT")
    }

    /// Whether it answers rows.
    pub(crate) fn has_rows(&self) -> bool {
        self.has_rows
    }

    /// Writes the messages that prepare it under a name. An older statement of the name is closed first: that there is
    /// none is no error.
    pub(crate) fn write_parse(&self, name: &str, out: &mut BytesMut) -> Result<(), Failure> {
        let fail = |_| Failure::Bug("a statement cannot be written");
        if !name.is_empty() {
            frontend::close(b'S', name, out).map_err(fail)?;
        }
        frontend::parse(name, &self.text, self.types.iter().copied(), out).map_err(fail)
    }

    /// The messages that run it once with these values, by the name under which it is prepared, up to the point at
    /// which the database answers.
    pub(crate) fn bind(&self, name: &str, values: &[Value<'_>]) -> Result<Bytes, Failure> {
        if values.len() != self.types.len() {
            return Err(Failure::Bug("a statement has another number of values"));
        }
        let mut out = BytesMut::with_capacity(256);
        frontend::bind("", name, [BINARY], values, write_value, [BINARY], &mut out).map_err(|error| match error {
            BindError::Conversion(_) => Failure::Bug("a value cannot be written"),
            BindError::Serialization(_) => Failure::Bug("a value is too long"),
        })?;
        frontend::execute("", 0, &mut out).map_err(|_| Failure::Bug("a statement cannot be run"))?;
        frontend::sync(&mut out);
        Ok(out.freeze())
    }

    /// The query that SQLite runs.
    pub(crate) fn query<'q>(
        &'q self,
        values: &[Value<'q>],
    ) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
        let query = sqlx::query(sqlx::AssertSqlSafe(self.text.as_str())).persistent(self.is_kept);
        values.iter().fold(query, |query, value| match *value {
            Value::Null => query.bind(None::<i64>),
            Value::Bool(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
            Value::Int(value) => query.bind(value),
            Value::Json(value) | Value::Text(value) => query.bind(value),
            Value::Time(value) => query.bind(value),
            Value::Uuid(value) => query.bind(value),
            Value::Texts(values) => query.bind(serde_json::Value::from(values).to_string()),
            Value::Uuids(values) => {
                let texts: Vec<_> = values.iter().map(|id| id.simple().to_string()).collect();
                query.bind(serde_json::Value::from(texts).to_string())
            }
        })
    }
}

/// The format code of binary values.
const BINARY: i16 = 1;

/// A name out of the text and the types: the first 16 bytes of their SHA-256.
fn name(text: &str, types: &[Oid]) -> String {
    let hash = digest(&SHA256, format!("{text}\n{types:?}").as_bytes());
    hash.as_ref().iter().take(16).fold("tasks_".to_owned(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

fn write_value(value: &Value<'_>, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
    match *value {
        Value::Null => return Ok(IsNull::Yes),
        Value::Bool(value) => types::bool_to_sql(value, out),
        Value::Bytes(value) => types::bytea_to_sql(value, out),
        Value::Int(value) => types::int8_to_sql(value, out),
        Value::Json(value) | Value::Text(value) => types::text_to_sql(value, out),
        Value::Time(value) => types::timestamp_to_sql(value.timestamp_micros() - EPOCH, out),
        Value::Uuid(value) => types::uuid_to_sql(value.into_bytes(), out),
        Value::Texts(values) => write_array(Kind::Text, values, |text, out| out.put_slice(text.as_bytes()), out)?,
        Value::Uuids(values) => write_array(Kind::Uuid, values, |id, out| out.put_slice(id.as_bytes()), out)?,
    }
    Ok(IsNull::No)
}

fn write_array<T>(
    kind: Kind,
    values: &[T],
    write: impl Fn(&T, &mut BytesMut),
    out: &mut BytesMut,
) -> Result<(), Box<dyn std::error::Error + Sync + Send>> {
    let dimension = types::ArrayDimension { len: i32::try_from(values.len())?, lower_bound: 1 };
    let write = |value: &T, out: &mut BytesMut| {
        write(value, out);
        Ok(IsNull::No)
    };
    types::array_to_sql([dimension], kind.oid(), values, write, out)
}

/// The texts of an array.
fn read_texts(bytes: &[u8]) -> Option<Vec<String>> {
    let array = types::array_from_sql(bytes).ok()?;
    let texts = array.values().map(|text| Ok(text.and_then(|text| Some(std::str::from_utf8(text).ok()?.to_owned()))));
    texts.collect::<Vec<Option<String>>>().ok()?.into_iter().collect()
}

/// Microseconds from 1970, where our times begin, to 2000, where PostgreSQL's do.
const EPOCH: i64 = 946_684_800_000_000;

/// What a statement answered.
pub(crate) enum Reply {
    /// The messages of PostgreSQL, from the first to the last.
    Postgres(Bytes),
    /// SQLite's rows, and how many rows were touched.
    Sqlite(Vec<SqliteRow>, u64),
}

impl Reply {
    /// Makes something of each row.
    pub(crate) fn all<T>(&self, read: impl Fn(&Row<'_>) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
        self.some(|row| read(row).map(Some))
    }

    /// Makes something of some rows.
    pub(crate) fn some<T>(&self, read: impl Fn(&Row<'_>) -> Result<Option<T>, Failure>) -> Result<Vec<T>, Failure> {
        match self {
            Self::Postgres(bytes) => {
                let rows = messages(bytes).filter(|(tag, _)| *tag == b'D');
                rows.filter_map(|(_, body)| read(&Row::Postgres(body)).transpose()).collect()
            }
            Self::Sqlite(rows, _) => rows.iter().filter_map(|row| read(&Row::Sqlite(row)).transpose()).collect(),
        }
    }

    /// Makes something of the only row, if there is one.
    pub(crate) fn one<T>(&self, read: impl Fn(&Row<'_>) -> Result<T, Failure>) -> Result<Option<T>, Failure> {
        match self {
            Self::Postgres(bytes) => {
                messages(bytes).find(|(tag, _)| *tag == b'D').map(|(_, body)| read(&Row::Postgres(body))).transpose()
            }
            Self::Sqlite(rows, _) => rows.first().map(|row| read(&Row::Sqlite(row))).transpose(),
        }
    }

    /// How many rows were written.
    pub(crate) fn affected(&self) -> u64 {
        match self {
            // The last word of a text such as `DELETE 3`.
            Self::Postgres(bytes) => messages(bytes)
                .find(|(tag, _)| *tag == b'C')
                .and_then(|(_, body)| {
                    std::str::from_utf8(body.strip_suffix(b"\0")?).ok()?.rsplit(' ').next()?.parse().ok()
                })
                .unwrap_or_default(),
            Self::Sqlite(_, affected) => *affected,
        }
    }
}

/// The messages in these bytes: tag and body.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&tag, rest) = bytes.split_first()?;
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
        let (message, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some((tag, message.get(4..)?))
    })
}

/// One row of an answer; columns count from 0.
pub(crate) enum Row<'a> {
    /// The body of the message: the number of columns, and each one's length and bytes.
    Postgres(&'a [u8]),
    Sqlite(&'a SqliteRow),
}

/// The columns of a row, one after another.
pub(crate) struct Columns<'a> {
    row: &'a Row<'a>,
    rest: &'a [u8],
    next: usize,
}

impl<'a> Row<'a> {
    /// The columns, from the first on.
    pub(crate) fn columns(&'a self) -> Columns<'a> {
        let rest = match self {
            Self::Postgres(body) => body.get(2..).unwrap_or_default(),
            Self::Sqlite(_) => &[],
        };
        Columns { row: self, rest, next: 0 }
    }
}

impl<'a> Columns<'a> {
    fn take<T>(
        &mut self,
        of_postgres: impl FnOnce(&'a [u8]) -> Option<T>,
        of_sqlite: impl FnOnce(&'a SqliteRow, usize) -> Result<Option<T>, sqlx::Error>,
    ) -> Result<Option<T>, Failure> {
        let column = self.next;
        self.next += 1;
        let wrong = || Failure::Column(column);
        match self.row {
            Row::Sqlite(row) => of_sqlite(row, column).map_err(|_| wrong()),
            Row::Postgres(_) => {
                let Some((length, rest)) = self.rest.split_first_chunk() else { return Err(wrong()) };
                self.rest = rest;
                // A negative length stands for null.
                let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { return Ok(None) };
                let Some((bytes, rest)) = self.rest.split_at_checked(length) else { return Err(wrong()) };
                self.rest = rest;
                of_postgres(bytes).map(Some).ok_or_else(wrong)
            }
        }
    }

    /// Whether the column behind the next so many is null.
    pub(crate) fn is_null(&self, behind: usize) -> bool {
        let mut ahead = Columns { row: self.row, rest: self.rest, next: self.next };
        (0..behind).all(|_| ahead.skip().is_ok()) && ahead.skip().is_ok_and(|is_null| is_null)
    }

    /// Passes over the next column; whether it is null.
    pub(crate) fn skip(&mut self) -> Result<bool, Failure> {
        let value = self.take(|_| Some(()), |row, column| Ok((!row.try_get_raw(column)?.is_null()).then_some(())))?;
        Ok(value.is_none())
    }

    fn some<T>(&self, value: Option<T>) -> Result<T, Failure> {
        value.ok_or_else(|| Failure::Column(self.next.saturating_sub(1)))
    }

    /// The next column, a text.
    pub(crate) fn text(&mut self) -> Result<String, Failure> {
        let text = self.take(|bytes| Some(std::str::from_utf8(bytes).ok()?.to_owned()), SqliteRow::try_get)?;
        self.some(text)
    }

    /// The next column, a text or nothing.
    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, Failure> {
        self.take(|bytes| Some(std::str::from_utf8(bytes).ok()?.to_owned()), SqliteRow::try_get)
    }

    /// The next column, a list of texts or nothing.
    pub(crate) fn optional_texts(&mut self) -> Result<Option<Vec<String>>, Failure> {
        self.take(read_texts, |row, column| {
            let json: Option<&str> = row.try_get(column)?;
            json.map(serde_json::from_str).transpose().map_err(|error| sqlx::Error::Decode(error.into()))
        })
    }

    /// The next column, bytes or nothing.
    pub(crate) fn optional_bytes(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        self.take(|bytes| Some(bytes.to_vec()), SqliteRow::try_get)
    }

    /// The next column, bytes.
    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, Failure> {
        let bytes = self.take(|bytes| Some(bytes.to_vec()), SqliteRow::try_get)?;
        self.some(bytes)
    }

    /// The next column, an id.
    pub(crate) fn uuid(&mut self) -> Result<Uuid, Failure> {
        let id = self.take(|bytes| Uuid::from_slice(bytes).ok(), SqliteRow::try_get)?;
        self.some(id)
    }

    /// The next column, a truth value.
    pub(crate) fn bool(&mut self) -> Result<bool, Failure> {
        let value = self.take(|bytes| types::bool_from_sql(bytes).ok(), SqliteRow::try_get)?;
        self.some(value)
    }

    /// The next column, a whole number of any width.
    pub(crate) fn int(&mut self) -> Result<i64, Failure> {
        let int = self.take(
            |bytes| match *bytes {
                [a, b] => Some(i16::from_be_bytes([a, b]).into()),
                [a, b, c, d] => Some(i32::from_be_bytes([a, b, c, d]).into()),
                _ => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
            },
            SqliteRow::try_get,
        )?;
        self.some(int)
    }

    /// The next column, a point in time.
    pub(crate) fn time(&mut self) -> Result<DateTime<Utc>, Failure> {
        let time = self.optional_time()?;
        self.some(time)
    }

    /// The next column, a point in time or nothing.
    pub(crate) fn optional_time(&mut self) -> Result<Option<DateTime<Utc>>, Failure> {
        self.take(
            |bytes| {
                let micros = i64::from_be_bytes(bytes.try_into().ok()?);
                DateTime::from_timestamp_micros(micros.checked_add(EPOCH)?)
            },
            SqliteRow::try_get,
        )
    }
}
