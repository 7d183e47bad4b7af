"""What Schemathesis cannot read from the document. Runs with one worker: what is kept here follows the answers in order."""
import json
import re
import time
from urllib.parse import unquote

import schemathesis
from hypothesis import strategies as st

CALLER = ("me", "alice")
BULK = ("bulkCompleteTasks", "bulkPatchTasks", "bulkDeleteTasks")
FILTERS = ("priority", "tag", "due_from", "due_to", "q", "sort")
versions, gone, twice = {}, set(), set()  # of the tasks that are there; deleted; deleted again
position = []  # the last token of changes

# In its coverage phase Schemathesis 4.32.5 draws headers from [A-Za-z0-9]. A pattern that needs a quote gets no value
# there, and each case of the operation would go out with `If-Match: 0`. A format that it knows does.
TAGS = re.compile(r'(\*|(W/)?"[1-9]"(, ?(W/)?"[!#-~]{0,3}"){0,2})\Z')
VERSION = re.compile(r'"[1-9]"\Z')
schemathesis.openapi.format("entity-tags", st.from_regex(TAGS, fullmatch=True))


@schemathesis.hook
def before_load_schema(context, raw_schema):
    for item in raw_schema["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()) if isinstance(operation, dict) else ():
                if parameter["name"] in ("If-Match", "If-None-Match"):
                    parameter["schema"]["format"] = "entity-tags"
    # Most requests have no filters to pass on, which would be reported each time; before_call sees to it.
    parameters = raw_schema["components"]["links"]["NextPage"]["parameters"]
    for name in ("is_completed", *FILTERS):
        parameters.pop(f"query.{name}")


def operation_id(case):
    return case.operation.definition.raw.get("operationId")


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


def content(response):
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def named(case):
    """The ids of tasks that a request names."""
    path = (case.path_parameters or {}).get("id")
    if path is not None:
        return [unquote(str(path)).lower()]
    tasks = case.body.get("tasks") if isinstance(case.body, dict) else None
    return [str(task["id"]).lower() for task in tasks or () if isinstance(task, dict) and "id" in task]


def missing(case, response):
    """The ids that a 404 says are not there."""
    ids = named(case)
    if operation_id(case) not in BULK:
        return ids
    return [ids[int(fault["pointer"].split("/")[2])] for fault in content(response)["errors"]]


def dated(id):
    """An id of a client's own that was made now."""
    millis = f"{time.time_ns() // 1_000_000:012x}"
    return f"{millis[:8]}-{millis[8:]}-{id[14:]}"


def possible(members, has_day):
    """What a draft or a change must be beside what its schema says. `has_day`: whether the rest of the task may have a day."""
    if not isinstance(members, dict):
        return members
    if isinstance(members.get("tags"), list):
        members["tags"] = list(dict.fromkeys(members["tags"]))
    if isinstance(members.get("due_time"), str) and not members.get("due_date"):
        if has_day and "due_date" not in members:
            members["due_date"] = "2028-02-29"
        else:
            members["due_time"] = None
    return members


@schemathesis.hook
def before_call(context, case, kwargs):
    """Valid data that no server could accept becomes data that this one can."""
    op = operation_id(case)
    if not is_positive(case):
        return
    # A tag that is any version's becomes the task's own: else nearly every write with a condition would be 412.
    if VERSION.match((case.headers or {}).get("If-Match", "")) and named(case)[0] in versions:
        case.headers["If-Match"] = f'"{versions[named(case)[0]]}"'
    if op == "listTasks" and case.query:
        query = dict(case.query)
        for name in ("priority", "tag"):
            if isinstance(query.get(name), list):
                query[name] = list(dict.fromkeys(query[name]))
        if all(isinstance(query.get(name), str) for name in ("due_from", "due_to")) and query["due_from"] > query["due_to"]:
            query["due_from"], query["due_to"] = query["due_to"], query["due_from"]
        # A cursor names the completion that it was made with by its first letter; that of another filter or order cannot be made up.
        cursor = query.get("cursor")
        if isinstance(cursor, str):
            if any(name in query for name in FILTERS):
                del query["cursor"]
            else:
                letter = {"true": "c", "false": "o"}.get(str(query.get("is_completed")).lower(), "a")
                query["cursor"] = letter + cursor[1:33]
        case.query = query
    if op == "listChanges" and case.query:
        # Whose a token is, no schema can say; and nobody waits here.
        query = {name: value for name, value in case.query.items() if name != "since"}
        query |= {"since": position[-1]} if "since" in case.query and position else {}
        case.query = query | ({"wait": min(int(query["wait"]), 1)} if str(query.get("wait", "")).isdigit() else {})
    if isinstance(case.body, dict):
        if op in ("createTask", "updateTask", "patchTask"):
            possible(case.body, op == "patchTask")
        for entry in (case.body, *(case.body.get("tasks") or ())):
            if op in ("bulkCreateTasks", "bulkPatchTasks") and entry is not case.body:
                possible(entry, op == "bulkPatchTasks")
            if op in ("createTask", "bulkCreateTasks") and isinstance(entry, dict) and isinstance(entry.get("id"), str):
                entry["id"] = dated(entry["id"])
        # Each task is named once.
        if isinstance(case.body.get("tasks"), list) and op in (*BULK, "bulkCreateTasks"):
            ids = [str(task["id"]).lower() if isinstance(task, dict) and "id" in task else at
                   for at, task in enumerate(case.body["tasks"])]
            case.body["tasks"] = [task for at, task in enumerate(case.body["tasks"]) if ids.index(ids[at]) == at]
    # Ids of the bulk operations are in the body, where Schemathesis puts no ids that it knows. Half stay random.
    if op in BULK and isinstance(case.body, dict) and named(case) and named(case)[0][-1] in "02468ace":
        fuzzed = case.meta.phase.name.value == "fuzzing"
        tasks = [{**task, "id": id} | ({"version": versions[id]} if fuzzed and "version" in task else {})
                 for task, id in zip(case.body["tasks"], sorted(versions))]
        case.body = {"tasks": tasks or case.body["tasks"]}


@schemathesis.hook
def after_call(context, case, response):
    op, status = operation_id(case), response.status_code
    if op == "listChanges":
        position.extend([content(response)["meta"]["next"]] if status == 200 else [])
    elif op == "exportUser":
        assert status != 200 or json.loads(response.content.splitlines()[-1])["end"]
    elif op == "eraseUser" and status == 204:
        gone.update(versions)
        versions.clear()
        position.clear()
    elif status in (200, 201) and "idempotency-replayed" not in response.headers:  # a replay's tasks may be gone
        data = content(response).get("data", [])
        for task in data if isinstance(data, list) else [data]:
            if task["id"] not in gone:
                versions[task["id"]] = max(task["version"], versions.get(task["id"], 0))
    elif status == 204 and op in ("deleteTask", "bulkDeleteTasks") and "idempotency-replayed" not in response.headers:
        if op == "deleteTask":
            twice.update(gone.intersection(named(case)))
        gone.update(named(case))
        for id in named(case):
            versions.pop(id, None)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """False drops a failure."""
    kind, op = type(failure).__name__, operation_id(case)
    # completeTask: its body is optional, and `null` is none, as clients in Go and Rust send it.
    if kind == "AcceptedNegativeData" and op == "completeTask" and case.body is None:
        return False
    # Schemathesis looks for a DELETE before a 404. It does not know that bulkDeleteTasks deletes too, and that a creation
    # whose Idempotency-Key was used is an old one. tasks_are_there_until_deleted knows.
    if kind == "EnsureResourceAvailability":
        return any(id in versions for id in missing(case, response))
    return True


@schemathesis.check
def tasks_are_there_until_deleted(ctx, response, case):
    status = response.status_code
    if status == 404 and content(response).get("code") == "task-not-found":
        there = [id for id in missing(case, response) if id in versions]
        assert not there, f"404 for tasks that are there: {there}"
    elif operation_id(case) == "bulkDeleteTasks":
        return  # what is not there is taken for deleted
    elif status in (200, 204, 304, 412) and "idempotency-replayed" not in response.headers:
        deleted = [id for id in named(case) if id in (twice if status == 204 else gone)]
        assert not deleted, f"{status} for tasks that were deleted: {deleted}"


@schemathesis.check
def refusals_have_their_cause(ctx, response, case):
    """A status that positive_data_acceptance lets pass is for the requests that earn it."""
    if not is_positive(case):
        return
    status, op, headers = response.status_code, operation_id(case), {name.lower() for name in case.headers or {}}
    user = unquote(str((case.path_parameters or {}).get("user_id", "me")))
    if user not in CALLER:
        assert status == 403 or (status, op) == (400, "listTasks"), f"{status} for the user {user!r}"
    else:
        assert status != 403, f"403 for the user {user!r}"
    if status == 412:
        assert "if-match" in headers or any("version" in task for task in case.body["tasks"]), "412 without a condition"
        tag = (case.headers or {}).get("If-Match")
        assert tag is None or tag != f'"{versions.get(named(case)[0])}"', f"412 for the task's own {tag}"
    if status == 409:
        tasks = case.body.get("tasks", [case.body])
        assert any("id" in task for task in tasks), "409 without an id of the client's own"
    if status == 422:
        assert "idempotency-key" in headers, "422 without a key"
    if status == 304:
        assert "if-none-match" in headers, "304 without a condition"


@schemathesis.check
def unknown_query_parameters_are_refused(ctx, response, case):
    """Schemathesis lets a server ignore them; this one promises to refuse them."""
    unknown = set(case.query or {}) - {parameter.name for parameter in case.operation.query}
    assert not unknown or response.status_code >= 400, f"{response.status_code} with {sorted(unknown)}"


@schemathesis.check
class every_operation_succeeds:
    """No operation is tested by refusals alone."""

    def __init__(self):
        self.tested, self.succeeded = set(), set()

    def after_response(self, ctx, response, case):
        self.tested.add(operation_id(case))
        if 200 <= response.status_code < 300:
            self.succeeded.add(operation_id(case))

    def after_run(self, ctx):
        assert self.tested == self.succeeded, f"never succeeded: {sorted(self.tested - self.succeeded)}"
