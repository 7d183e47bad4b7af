"""What each generated client in Python does on the live server. A client's own file says how it is called."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID, uuid4

URL = os.environ["TASKS_URL"]
TOKEN = os.environ["TASKS_TOKEN"]

ME = "me"
# A user for whom the server answers as one of a later version may: with a member and a code that no client knows.
LATER = "later"


class Task(Protocol):
    """A task. A client's `id` is a UUID or its text, its times are times or their texts."""

    @property
    def id(self) -> UUID | str: ...
    @property
    def title(self) -> str: ...
    @property
    def is_completed(self) -> bool: ...
    @property
    def completed_at(self) -> object: ...
    @property
    def version(self) -> int: ...
    @property
    def etag(self) -> str: ...


@dataclass
class Problem:
    """What a program decides by."""

    code: str
    current_version: int | None = None


@dataclass
class Page:
    data: Sequence[Task]
    next_cursor: str | None


T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Answer(Generic[T_co]):
    """An answer: its status, and what it carries of the rest."""

    status: int
    data: T_co | None = None
    problem: Problem | None = None
    headers: Mapping[str, str] | None = None


class Client(Protocol):
    def create_task(self, title: str, key: str) -> Answer[Task]: ...
    def list_tasks(self, limit: int, cursor: str | None) -> Answer[Page]: ...
    def get_task(self, user: str, id: str, tag: str | None = None) -> Answer[Task]: ...
    def update_task(self, user: str, id: str, title: str, is_completed: bool, tag: str) -> Answer[Task]: ...
    def patch_task(self, id: str, title: str) -> Answer[Task]: ...
    def complete_task(self, id: str) -> Answer[Task]: ...
    def delete_task(self, id: str) -> Answer[None]: ...


T = TypeVar("T")


def carried(answer: Answer[T], status: int) -> T:
    """What an answer of this status carries."""
    assert (answer.status, answer.problem) == (status, None), answer
    assert answer.data is not None
    return answer.data


def refused(answer: Answer[object], status: int, code: str) -> Problem:
    assert answer.problem is not None, answer
    assert (answer.status, answer.problem.code) == (status, code), answer
    return answer.problem


def story(name: str, api: Client) -> None:
    # Create with a key, and again, as if the first answer were lost.
    key = str(uuid4())
    created = api.create_task("Buy milk", key)
    task = carried(created, 201)
    assert (task.title, task.is_completed, task.completed_at, task.version) == ("Buy milk", False, None, 1)
    again = api.create_task("Buy milk", key)
    assert carried(again, 201) == task
    if again.headers is not None:
        assert again.headers["idempotency-replayed"] == "true"
    refused(api.create_task("Buy jam", key), 422, "idempotency-key-reused")
    id = str(task.id)

    # Page by page, newest first.
    others = [carried(api.create_task(title, str(uuid4())), 201) for title in ("One", "Two")]
    listed: list[Task] = []
    cursor: str | None = None
    while not listed or cursor is not None:
        page = carried(api.list_tasks(2, cursor), 200)
        listed.extend(page.data)
        cursor = page.next_cursor
    assert listed == [*reversed(others), task], listed

    # Read only what is news.
    known = api.get_task(ME, id, task.etag)
    assert (known.status, known.data, known.problem) == (304, None, None), known
    assert carried(api.get_task(ME, id, '"7"'), 200) == task

    # Two who change the same version: the second is told.
    first = carried(api.update_task(ME, id, "Buy oat milk", False, '"1"'), 200)
    assert (first.title, first.version) == ("Buy oat milk", 2)
    late = api.update_task(ME, id, "Buy soy milk", False, '"1"')
    assert refused(late, 412, "version-mismatch").current_version == 2

    # A patch leaves what it does not name.
    patched = carried(api.patch_task(id, "Buy two oat milks"), 200)
    assert (patched.title, patched.is_completed, patched.version) == ("Buy two oat milks", False, 3)

    # Complete without a body; a second time changes nothing.
    done = carried(api.complete_task(id), 200)
    assert done.is_completed and done.completed_at is not None
    assert carried(api.complete_task(id), 200) == done

    # A server of a later version: the task is read as ever, and of the problem status and code.
    assert carried(api.get_task(LATER, id), 200).version == done.version
    refused(api.update_task(LATER, id, "Milk", True, '"1"'), 412, "task-archived")

    # Delete; a second time there is nothing to delete.
    for gone in (id, *(str(other.id) for other in others)):
        assert api.delete_task(gone).status == 204
    refused(api.delete_task(id), 404, "task-not-found")

    print(f"{name}: the whole story")
