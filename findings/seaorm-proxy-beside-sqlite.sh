#!/usr/bin/env bash
# SeaORM's features `proxy` and `sqlx-sqlite` do not compile together, though each does alone.
#
# Versions: sea-orm 2.0.4, with sea-query 1.0.2, sqlx 0.9.0 and serde 1.0.229; it asks for Rust 1.94 or newer.
#
# Behaviour: with `proxy` and `sqlx-sqlite` and nothing else, the compiler stops in src/driver/sqlx_sqlite.rs with two
# errors E0308. The code that turns a row of SQLite into a row of the proxy puts strings and bytes into a Box, where the
# Value of SeaQuery 1.0 holds them without one. `with-chrono` (or `with-time`) adds three
# more errors of the same kind, five in all. `sqlx-mysql` beside `proxy` has three. `sqlx-postgres` beside `proxy` compiles.
# A second surprise: `proxy` and `with-uuid` without `with-json` do not compile either, E0277 in src/value.rs: the
# feature `proxy` asks for serde without `std`, so a String cannot be deserialized. Any other crate of the build that asks
# for serde's `std` hides this one.
#
# Why it matters: Cargo unites features over a whole build. One crate that wants `proxy` (a test helper, say) breaks
# another that wants `sqlx-sqlite`.
#
# Known: SeaQL/sea-orm issues 2990, 2991 and 2999 (2026, closed) tell of other such errors of `proxy` in 1.1.19 (beside
# `sqlx-postgres`, alone, and with `with-time`). We found no issue about `sqlx-sqlite` or `sqlx-mysql` in 2.0.
#
# Output seen (features: errors by code and file):
#   proxy: compiles
#   sqlx-sqlite: compiles
#   proxy,sqlx-sqlite: 2 E0308 sqlx_sqlite.rs
#   proxy,sqlx-sqlite,with-chrono: 5 E0308 sqlx_sqlite.rs
#   proxy,sqlx-mysql: 3 E0308 sqlx_mysql.rs
#   proxy,sqlx-postgres: compiles
#   proxy,with-uuid: 1 E0277 value.rs
#   proxy,with-uuid,with-json: compiles
#
# Needs: Rust, a C compiler. Takes three to four minutes on two busy cores.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

mkdir src
touch src/lib.rs
features=(proxy sqlx-sqlite sqlx-mysql sqlx-postgres with-chrono with-json with-uuid)
cat >Cargo.toml <<MANIFEST
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
sea-orm = { version = "=2.0.4", default-features = false }

[features]
$(printf '%s = ["sea-orm/%s"]\n' $(printf '%s %s\n' $(for feature in "${features[@]}"; do echo "$feature" "$feature"; done)))
MANIFEST
export CARGO_TARGET_DIR=$folder/target CARGO_PROFILE_DEV_DEBUG=0 CARGO_TERM_COLOR=never
cargo generate-lockfile --quiet
for pin in sea-query@1.0.2 sqlx@0.9.0 serde@1.0.229; do
    cargo update --quiet "${pin%@*}" --precise "${pin#*@}"
done

for set in proxy sqlx-sqlite proxy,sqlx-sqlite proxy,sqlx-sqlite,with-chrono proxy,sqlx-mysql proxy,sqlx-postgres \
    proxy,with-uuid proxy,with-uuid,with-json; do
    if cargo check --quiet --message-format short --features "$set" 2>errors; then
        echo "$set: compiles"
    else
        # "…/sea-orm-2.0.4/src/driver/sqlx_sqlite.rs:440:29: error[E0308]: mismatched types: …"
        found=$(sed -nE 's,^.*sea-orm-2\.0\.4/.*/([a-z_]+\.rs):[0-9]+:[0-9]+: error\[(E[0-9]+)\].*,\2 \1,p' errors | sort | uniq -c | xargs)
        echo "$set: ${found:-$(tail -n 3 errors)}"
    fi
done | tee seen

if ! diff <(echo "$expected") seen >changed; then
    echo "sea-orm behaves otherwise than recorded (< recorded, > now):"
    cat changed
    exit 1
fi
echo "as recorded"
