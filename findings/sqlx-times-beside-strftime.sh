#!/usr/bin/env bash
# sqlx writes a time into SQLite with as many digits as it needs, and strftime('%f') always with three: where the seconds are whole, the
# same time is two texts, and a comparison of the two is decided by the punctuation.
#
# Versions: sqlx 0.9.0 with its features sqlite-bundled and chrono; chrono 0.4.45; SQLite 3.51.3, as libsqlite3-sys 0.37.0 has it.
#
# Behaviour: SQLite has no type for times. A DateTime<Utc> is bound as a text of RFC 3339 with 0, 3, 6 or 9 digits behind the second,
# whichever suffice. Such texts sort among themselves as their times do, as "+" comes before every digit and before the point. A
# trigger or a default of the table writes its own with strftime, whose %f has three digits, so that 05.000+00:00 stands beside
# 05+00:00. A row that a trigger wrote at a whole second is then read as a DateTime, bound again unchanged, and not found by = nor by <=: about one row in a
# thousand. A loop that reads the oldest row and deletes up to its time never ends there.
#
# What helps: compare with < and a time that is a little later; or keep times as integers.
#
# Output seen:
#   SQLite 3.51.3
#   by strftime 2026-01-31T09:30:05.000+00:00, by sqlx 2026-01-31T09:30:05+00:00
#     read, and bound again: = false, <= false, < a millisecond later true
#   by strftime 2026-01-31T09:30:05.120+00:00, by sqlx 2026-01-31T09:30:05.120+00:00
#     read, and bound again: = true, <= true, < a millisecond later true
#
# Needs: Rust, a C compiler. Takes a minute or two.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'MANIFEST'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
chrono = { version = "=0.4.45", default-features = false }
libsqlite3-sys = "=0.37.0"
sqlx = { version = "=0.9.0", default-features = false, features = ["chrono", "runtime-tokio", "sqlite-bundled"] }
tokio = { version = "1", features = ["macros", "rt"] }
MANIFEST
cat >src/main.rs <<'RUST'
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection, SqliteConnection, query, query_scalar};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), sqlx::Error> {
    let mut link = SqliteConnection::connect("sqlite::memory:").await?;
    let version: String = query_scalar("SELECT sqlite_version()").fetch_one(&mut link).await?;
    println!("SQLite {version}");
    query("CREATE TABLE rows (made TEXT NOT NULL) STRICT").execute(&mut link).await?;
    for moment in ["2026-01-31 09:30:05", "2026-01-31 09:30:05.120"] {
        query("DELETE FROM rows").execute(&mut link).await?;
        let write = "INSERT INTO rows VALUES (strftime('%Y-%m-%dT%H:%M:%f+00:00', ?))";
        query(write).bind(moment).execute(&mut link).await?;
        let by_strftime: String = query_scalar("SELECT made FROM rows").fetch_one(&mut link).await?;
        let read: DateTime<Utc> = query_scalar("SELECT made FROM rows").fetch_one(&mut link).await?;
        let by_sqlx: String = query_scalar("SELECT ?").bind(read).fetch_one(&mut link).await?;
        println!("by strftime {by_strftime}, by sqlx {by_sqlx}");
        let equal: bool = query_scalar("SELECT made = ? FROM rows").bind(read).fetch_one(&mut link).await?;
        let until: bool = query_scalar("SELECT made <= ? FROM rows").bind(read).fetch_one(&mut link).await?;
        let later = read + TimeDelta::milliseconds(1);
        let before: bool = query_scalar("SELECT made < ? FROM rows").bind(later).fetch_one(&mut link).await?;
        println!("  read, and bound again: = {equal}, <= {until}, < a millisecond later {before}");
    }
    Ok(())
}
RUST
export CARGO_TARGET_DIR=$folder/target CARGO_PROFILE_DEV_DEBUG=0 CARGO_TERM_COLOR=never
seen=$(cargo run --quiet)
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this differs from what was seen"; exit 1; }
