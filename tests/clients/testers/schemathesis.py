"""Schemathesis as a user runs it, without our hooks: it finds nothing but what the document for testers lists.

`schemathesis.py README EVENTS` reads the rows of the table in README that begins with "| check |", and what a run wrote with
`--report ndjson`.
"""

import base64
import json
import re
import sys
from collections import Counter
from pathlib import Path

readme, events = map(Path, sys.argv[1:])

table = readme.read_text().split("\n| check |")[1].split("\n\n")[0]
listed = {tuple(re.findall(r"`([^`]+)`", " ".join(row.split("|")[1:3]))) for row in table.splitlines()[2:]}
assert listed, "no table"


def reason(answer):
    """The status, the code, and the parameters and members of the body that the problem names, if any."""
    body = base64.b64decode((answer["content"] or {}).get("$base64", ""))
    problem = json.loads(body) if body else {}
    faults = problem.get("errors", ())
    names = {fault.get("name") or fault.get("pointer", "").rsplit("/", 1)[-1] for fault in faults} - {""}
    return (str(answer["status_code"]), *filter(None, [problem.get("code")]), *sorted(names))


found = Counter()
cases = 0
for line in events.read_text().splitlines():
    scenario = json.loads(line).get("ScenarioFinished")
    if scenario is None:
        continue
    recorder = scenario["recorder"]
    cases += len(recorder.get("cases", ()))
    for case, checks in recorder.get("checks", {}).items():
        for check in checks:
            if check["status"] == "failure":
                found[(check["name"], *reason(recorder["interactions"][case]["response"]))] += 1

for what, times in sorted(found.items()):
    print(f"schemathesis: {times} × {' '.join(what)}{'' if what in listed else ': NOT LISTED'}")
print(
    f"Schemathesis: {cases} cases, {sum(found.values())} failures, each of them listed"
    if not found.keys() - listed
    else ""
)
assert cases > 1000, f"{cases} cases"
sys.exit(bool(found.keys() - listed))
