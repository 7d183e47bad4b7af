#!/usr/bin/env bash
# SQLite's UPDATE … FROM a list in JSON reads the list once for each row that the table's key leaves, where a needless LIMIT makes it
# read the list once and look its rows up.
#
# Versions: SQLite 3.54.1 (PyPI, apsw 3.54.1.0).
#
# Behaviour: rows are to be changed by a list of objects, each with the second half of the primary key. The list has no statistics, and
# is taken for long; so the planner puts the table outside, searched by the first half of its key, which a value gives, and the list
# inside, read and parsed anew for each row found there. With 10,000 rows and a list of 100 that is a million entries of JSON, over a
# second in place of half a millisecond. A subquery around the list changes nothing, as it is flattened. With LIMIT -1, which limits
# nothing, it cannot be: the list is made once, stands outside, and each of its entries is one look-up by the whole key.
#
# Output seen:
#   SQLite 3.54.1
#   UPDATE … FROM (SELECT … FROM json_each(?))
#     SEARCH tasks USING PRIMARY KEY (owner=?)
#     SCAN json_each VIRTUAL TABLE INDEX 1:
#   UPDATE … FROM (SELECT … FROM json_each(?) LIMIT -1)
#     MATERIALIZE new
#     SCAN json_each VIRTUAL TABLE INDEX 1:
#     SCAN new
#     SEARCH tasks USING PRIMARY KEY (owner=? AND id=?)
#   the first takes over twenty times as long: True
#
# Needs: Python 3. Takes some seconds.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check apsw==3.54.1.0

cat >compare.py <<'PYTHON'
import json
import time

import apsw

print("SQLite", apsw.sqlite_lib_version())
database = apsw.Connection(":memory:")
database.execute("CREATE TABLE tasks (owner TEXT NOT NULL, id INTEGER NOT NULL, title TEXT, PRIMARY KEY (owner, id)) WITHOUT ROWID")
database.executemany("INSERT INTO tasks VALUES ('alice', ?, 'x')", ((n,) for n in range(10_000)))
entries = json.dumps([{"id": 97 * n, "title": "y"} for n in range(100)])
times = []
for limit in ("", " LIMIT -1"):
    listed = f"(SELECT value ->> 'id' AS id, value ->> 'title' AS title FROM json_each(?){limit}) AS new"
    update = f"UPDATE tasks SET title = new.title FROM {listed} WHERE tasks.owner = ? AND tasks.id = new.id"
    print(f"UPDATE … FROM (SELECT … FROM json_each(?){limit})")
    for *_, step in database.execute(f"EXPLAIN QUERY PLAN {update}", (entries, "alice")):
        print(" ", step)
    began = time.perf_counter()
    database.execute(update, (entries, "alice"))
    times.append(time.perf_counter() - began)
    assert database.changes() == 100
print("the first takes over twenty times as long:", times[0] > 20 * times[1])
PYTHON
seen=$(python/bin/python compare.py)

echo "$seen"
[ "$seen" = "$expected" ] || { echo "this differs from what was seen"; exit 1; }
