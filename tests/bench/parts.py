"""What the measurements are made of: processes and their costs, the two databases, the server, its tokens and its load.

The seed: task `n` of user `u` has an id of version 7 whose time is `START` and `n` seconds, so that the order of ids is the
order of creation; `load.lua` computes the same ids. A task of an even second is completed.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
START = 1_735_689_600_000  # milliseconds: 2025-01-01
# Which of a user's tasks are completed, in SQL and here.
EVERY_OTHER = "n % 2 = 0", lambda n: n % 2 == 0
ALL_BUT_THE_OLDEST = "n > 0", lambda n: n > 0
SECRET = "the secret of the measurements, 32 bytes and more"
TICKS = os.sysconf("SC_CLK_TCK")


def note(text):
    print(text, file=sys.stderr, flush=True)


# Processes


def family(root):
    """The processes that descend from `root`, and itself, each with its CPU seconds and those of its ended children."""
    children, seconds = {}, {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            text = Path("/proc", name, "stat").read_text(errors="replace")
        except OSError:
            continue  # It has ended meanwhile.
        fields = text[text.rindex(")") + 1 :].split()  # The name before may hold blanks and brackets.
        children.setdefault(int(fields[1]), []).append(int(name))
        seconds[int(name)] = sum(map(int, fields[11:15])) / TICKS
    found, left = {}, [root]
    while left:
        process = left.pop()
        if process in seconds:
            found[process] = seconds[process]
            left += children.get(process, [])
    return found


def cpu(roots):
    """The CPU seconds that these processes and their descendants have used."""
    return sum(sum(family(root).values()) for root in roots)


def forget_peak(roots):
    """Lets the kernel begin anew with the peaks of memory."""
    for process in (process for root in roots for process in family(root)):
        try:
            Path("/proc", str(process), "clear_refs").write_text("5")
        except OSError:
            pass


def peak(roots):
    """The most memory that was resident, in MiB, summed over the processes."""
    total = 0
    for process in (process for root in roots for process in family(root)):
        try:
            found = re.search(r"VmHWM:\s+(\d+)", Path("/proc", str(process), "status").read_text())
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total / 1024


def machine_cpu():
    """The CPU seconds that the machine has worked."""
    user, nice, system, _idle, _wait, irq, softirq, _steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / TICKS


def allow_many_files():
    """Raises the limit of open files, which the server and wrk inherit, as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end(process, how=signal.SIGTERM):
    """Asks a process to end; after 20 s ends it."""
    process.send_signal(how)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# Databases


def program(name):
    """A program of PostgreSQL: on PATH, or where Debian puts it."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    found = shutil.which(name) or (debian and str(debian[-1]))
    return found or sys.exit(f"PostgreSQL was not found ({name}): install it, or measure --databases sqlite")


class Postgres:
    """A PostgreSQL of our own, with durable commits, in a folder of its own."""

    SETTINGS = {
        "shared_buffers": "512MB",
        "max_wal_size": "8GB",
        "max_connections": "500",
        # Neither begins in the middle of a round: `Store.reset` does their work between rounds.
        "autovacuum": "off",
        "checkpoint_timeout": "1h",
        "log_min_messages": "fatal",
    }

    def __init__(self, folder, settings):
        self.folder = folder / "postgres"
        self.folder.mkdir()
        self.settings = {**self.SETTINGS, **settings}
        account = {}
        if os.getuid() == 0:  # PostgreSQL does not run as root.
            names = {entry.pw_name: entry for entry in pwd.getpwall()}
            entry = names.get("postgres") or names["nobody"]
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        data = self.folder / "data"
        initdb = [program("initdb"), "-A", "trust", "-U", "tasks", "-E", "UTF8", "--no-locale", "--no-sync", "-D", data]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **account)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [program("postgres"), "-D", data, "-k", self.folder, "-h", "127.0.0.1", "-p", str(self.port)]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **account
            )
        for _ in range(300):
            if (self.folder / f".s.PGSQL.{self.port}").exists() and self.answers():
                break
            if self.process.poll() is not None:
                sys.exit(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.1)
        self.version = self.sql("postgres", "SHOW server_version").split()[0]

    def psql(self, database, text, **options):
        command = [program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "tasks"]
        command += ["-h", self.folder, "-p", str(self.port), "-d", database, "-f", "-"]
        return subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, **options)

    def answers(self):
        return self.psql("postgres", "SELECT 1", stderr=subprocess.DEVNULL).returncode == 0

    def sql(self, database, text):
        return self.psql(database, text, check=True).stdout.strip()

    def close(self):
        end(self.process, signal.SIGINT)


class PostgresStore:
    """A database of that PostgreSQL."""

    engine = "PostgreSQL"
    is_completed = "extract(epoch FROM created_at)::bigint % 2 = 0"

    def __init__(self, postgres, name):
        self.postgres, self.name = postgres, name
        self.url = f"postgresql://tasks@127.0.0.1:{postgres.port}/{name}"
        self.roots = [postgres.process.pid]
        postgres.sql("postgres", f'CREATE DATABASE "{name}"')

    def sql(self, text):
        return self.postgres.sql(self.name, text)

    def seed(self, kind, users, tasks, completed=EVERY_OTHER):
        """Adds users of a kind, by number, and the tasks of each; the users' tasks lie among each other, as in life."""
        self.sql(f"""
            SET session_replication_role = replica; -- Only saves the look at the user of each task.
            SET synchronous_commit = off;
            INSERT INTO users (id, created_at)
                SELECT '{kind}-' || u, to_timestamp({START // 1000})
                FROM generate_series({users.start}, {users.stop - 1}) u;
            INSERT INTO tasks (user_id, id, title, is_completed, completed_at, created_at, updated_at)
            SELECT '{kind}-' || u,
                (lpad(to_hex({START} + n * 1000), 12, '0') || '7' || lpad(to_hex(u % 4096), 3, '0')
                    || '8' || lpad(to_hex(u), 15, '0'))::uuid,
                'Task number ' || n || ': buy milk and bread', is_completed, CASE WHEN is_completed THEN created_at END,
                created_at, created_at
            FROM generate_series(0, {len(users) * tasks - 1}::bigint) i,
                LATERAL (SELECT i / {len(users)} AS n, {users.start} + i % {len(users)} AS u) who,
                LATERAL (SELECT {completed[0]} AS is_completed, to_timestamp({START // 1000} + n) AS created_at) what;
            RESET synchronous_commit;
            VACUUM (ANALYZE) tasks;
            CHECKPOINT;""")

    def describe(self, kind):
        """Gives the tasks of these users descriptions of 200 characters, dates, priorities and tags."""
        self.sql(f"""
            UPDATE tasks SET description = 'About number ' || n || repeat(': oat milk if they have it', 8),
                due = CASE n % 3 WHEN 0 THEN NULL ELSE to_char(date '2026-01-01' + (n % 400), 'YYYY-MM-DD')
                    || CASE n % 2 WHEN 0 THEN '' ELSE 'T18:30' END END,
                priority = (ARRAY['high', 'medium', 'low'])[n % 4 + 1],
                tags = CASE n % 5 WHEN 0 THEN ARRAY['work', 'home'] WHEN 1 THEN ARRAY['work'] END
            FROM (SELECT user_id AS u, id AS i, extract(epoch FROM created_at)::int - {START // 1000} AS n FROM tasks) of
            WHERE user_id = u AND id = i AND user_id LIKE '{kind}-%';
            VACUUM (ANALYZE) tasks;
            CHECKPOINT;""")

    def reset(self):
        """Takes back what a load has written."""
        self.sql(f"""
            DELETE FROM tasks WHERE title LIKE 'Made %';
            UPDATE tasks SET is_completed = {self.is_completed},
                completed_at = CASE WHEN {self.is_completed} THEN created_at END
            WHERE is_completed <> ({self.is_completed}) AND user_id LIKE 'user-%';
            VACUUM (ANALYZE) tasks;
            CHECKPOINT;""")

    def slow_commits(self, milliseconds):
        """Lets each transaction that adds tasks wait so long at its end, wherever others are.

        As with a database that waits until other machines have a commit: any number wait at a time. `commit_delay` is
        something else: it gathers those who come, and so the later ones wait less.
        """
        self.sql(f"""
            CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF current_setting('bench.waited', true) IS DISTINCT FROM 'yes' THEN
                    PERFORM set_config('bench.waited', 'yes', true), pg_sleep({milliseconds / 1000});
                END IF;
                RETURN NULL;
            END $$;
            CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION wait_at_commit();""")

    def size(self):
        return int(self.sql("SELECT pg_total_relation_size('tasks')")) / 2**20


class SqliteStore:
    """A file of SQLite; its cost is the server's."""

    engine = "SQLite"
    roots = ()
    is_completed = "strftime('%s', created_at) % 2 = 0"

    def __init__(self, folder, name):
        self.path = folder / f"{name}.db"
        self.url = f"sqlite://{self.path}"

    def open(self):
        return sqlite3.connect(self.path, timeout=30, isolation_level=None)

    def seed(self, kind, users, tasks, completed=EVERY_OTHER):
        done = completed[1]
        times = [
            datetime.datetime.fromtimestamp(START // 1000 + n, datetime.timezone.utc).isoformat() for n in range(tasks)
        ]

        def rows():
            for u in users:
                for n, at in enumerate(times):
                    id = bytes.fromhex(f"{START + n * 1000:012x}7{u % 4096:03x}8{u:015x}")
                    title = f"Task number {n}: buy milk and bread"
                    yield f"{kind}-{u}", id, title, done(n), at if done(n) else None, at, at

        database = self.open()
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        people = ((f"{kind}-{u}", times[0]) for u in users)
        database.executemany("INSERT INTO users (id, created_at) VALUES (?, ?)", people)
        columns = "user_id, id, title, is_completed, completed_at, created_at, updated_at"
        database.executemany(f"INSERT INTO tasks ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows())
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()

    def describe(self, kind):
        database = self.open()
        n = f"(strftime('%s', created_at) - {START // 1000})"
        database.execute(
            f"UPDATE tasks SET description = 'About number ' || {n} || replace(hex(zeroblob(8)), '00', ': oat milk if they have it'),"
            f" due = iif({n} % 3 = 0, NULL, date('2026-01-01', '+' || ({n} % 400) || ' days') || iif({n} % 2 = 0, '', 'T18:30')),"
            f" priority = CASE {n} % 4 WHEN 0 THEN 'high' WHEN 1 THEN 'medium' WHEN 2 THEN 'low' END,"
            f" tags = CASE {n} % 5 WHEN 0 THEN '[\"work\",\"home\"]' WHEN 1 THEN '[\"work\"]' END"
            f" WHERE user_id LIKE '{kind}-%'"
        )
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()

    def reset(self):
        database = self.open()
        database.execute("DELETE FROM tasks WHERE title LIKE 'Made %'")
        database.execute(
            f"UPDATE tasks SET is_completed = {self.is_completed},"
            f" completed_at = iif({self.is_completed}, created_at, NULL)"
            f" WHERE is_completed <> ({self.is_completed}) AND user_id LIKE 'user-%'"
        )
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()

    def size(self):
        return self.path.stat().st_size / 2**20


# The server


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# What tokens say beside that.
CLAIMS = {}


def token(user):
    """A token of this user, good for a day (RFC 7519, HS256)."""
    now = int(time.time())
    parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": user, "iat": now, "exp": now + 86_400, **CLAIMS}]
    signed = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{signed}.{base64url(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))}"


def environment(store, more):
    """The settings of a server on this database, and nothing of the caller's."""
    own = {"LISTEN": "127.0.0.1:0", "DATABASE_URL": store.url, "JWT_SECRET": SECRET}
    own |= {"RATE_LIMIT_PER_MINUTE": "0", "RATE_LIMIT_PER_MINUTE_ADDRESS": "0"}
    return {"PATH": os.environ["PATH"], **own, **more}


def migrate(binary, store, more, folder):
    """Gives the store the schema of this server."""
    command = [binary, "migrate", "up"]
    subprocess.run(command, env=environment(store, more), check=True, stdout=subprocess.DEVNULL, cwd=folder)


class Server:
    """A server on a store; `under` is what runs the program."""

    def __init__(self, binary, store, more, folder, under=()):
        folder.mkdir()
        banner = folder / "banner"
        # Nobody reads the log, but it is written.
        with open(banner, "wb") as file:
            self.process = subprocess.Popen(
                [*under, binary], env=environment(store, more), cwd=folder, stdout=subprocess.DEVNULL, stderr=file
            )
        for _ in range(1200):
            text = banner.read_text(errors="replace")
            if self.process.poll() is not None or "\nReady" in text:
                break
            time.sleep(0.05)
        found = re.search(r"listening +(127\.0\.0\.1):(\d+)", text)
        if not found or self.process.poll() is not None:
            sys.exit(f"{binary} did not start:\n{text}")
        self.address = f"{found[1]}:{found[2]}"
        self.root = self.process.pid

    def client(self, user):
        return Client(self.address, user)

    def close(self):
        end(self.process)


class Client:
    """One connection to the server, with one user's token."""

    def __init__(self, address, user):
        self.connection = http.client.HTTPConnection(address, timeout=120)
        self.headers = {"Authorization": f"Bearer {token(user)}", "Content-Type": "application/json"}
        self.tasks = f"/api/{user}/tasks"

    def ask(self, method, below="", body=None):
        """The status of the answer and its body, unread."""
        text = None if body is None else json.dumps(body)
        self.connection.request(method, self.tasks + below, text, self.headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def cursor(self, page, limit):
        """The query of this page of the list, the first being 1; found as a client finds it."""
        query = f"?limit={limit}"
        for _ in range(page - 1):
            status, body = self.ask("GET", query)
            next_cursor = json.loads(body).get("meta", {}).get("next_cursor") if status == 200 else None
            if not next_cursor:
                sys.exit(f"there is no page {page}: {status} {body[:300]}")
            query = f"?limit={limit}&cursor={next_cursor}"
        return query


# The load


class Load:
    """Requests of one kind from many connections at once, by wrk."""

    def __init__(self, folder, encodings):
        self.encodings = encodings
        self.wrk = shutil.which("wrk") or sys.exit("wrk was not found: apt-get install wrk")
        self.folder = folder
        said = subprocess.run([self.wrk, "--version"], stdout=subprocess.PIPE, text=True).stdout
        self.version = said.split()[1].removeprefix("debian/").split("-")[0]

    def run(self, servers, store, workload, users, tasks, seconds, connections, pause=0, query="", seed=1):
        """Measures `workload` for so long, the connections shared among the servers.

        `users` are whose tasks are asked for, `tasks` how many each has; `pause` is the mean think time in milliseconds.
        """
        people = self.folder / "people"
        people.write_text("".join(f"{user} {token(user)}\n" for user in users))
        roots = [server.root for server in servers]
        forget_peak(roots)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        before = cpu(roots), cpu(store.roots), machine_cpu()
        runs = []
        for place, server in enumerate(servers):
            share = max(1, connections // len(servers))
            command = [self.wrk, "-t", "1", "-c", str(share), "-d", str(seconds), "--timeout", "30"]
            command += ["-s", HERE / "load.lua", f"http://{server.address}", "--", workload, people]
            command += map(str, [tasks, START, place, len(servers), pause, seed, self.encodings, query])
            runs.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        said = [run.communicate()[0] for run in runs]
        after = cpu(roots), cpu(store.roots), machine_cpu()
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
        results = []
        for text in said:
            found = re.search(r"^RESULT (.*)$", text, re.MULTILINE) or sys.exit(f"wrk failed:\n{text}")
            results.append(json.loads(found[1]))
        count = sum(result["requests"] for result in results)
        if not count:
            sys.exit(f"no request was answered:\n{said[0]}")
        server, database, machine = (b - a for a, b in zip(before, after))
        strangers = machine - server - database - ours
        return {
            "rate": sum(result["requests"] / result["seconds"] for result in results),
            # Of several servers, the median of the middles and the worst of the tails.
            "p50": statistics.median(result["p50"] for result in results),
            "p95": max(result["p95"] for result in results),
            "p99": max(result["p99"] for result in results),
            "server": 1000 * server / count,
            "database": 1000 * database / count,
            "both": 1000 * (server + database) / count,
            "rss": peak(roots),
            "bad": sum(result["bad"] for result in results),
            "strangers": max(0, 100 * strangers / (results[0]["seconds"] * os.cpu_count())),
        }


# Tables


def table(head, rows):
    """A Markdown table; all but the columns of words are numbers, to the right."""

    def is_words(column):
        return not all(re.match(r"[\d–+-]", row[column]) for row in rows)

    words = [is_words(column) for column in range(len(head))]
    lines = [head, ["---" if word else "---:" for word in words], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def middle(rounds, name):
    return statistics.median(one[name] for one in rounds)


def spread(rounds, name):
    """The median of the rounds, and how far they lie apart."""
    values = [one[name] for one in rounds]
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})"


def machine():
    """The machine, as far as it says what a figure is worth."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = model[1].strip() if model else os.uname().machine
    return f"{os.cpu_count()} cores ({name}), {memory:.0f} GiB"
