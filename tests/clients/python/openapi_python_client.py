"""openapi-python-client."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from story import ME, TOKEN, URL, Answer, Page, Problem, Task, story
from tasks_api_client import AuthenticatedClient, models
from tasks_api_client.api.tasks import (
    complete_task,
    create_task,
    delete_task,
    get_task,
    list_tasks,
    patch_task,
    update_task,
)
from tasks_api_client.types import UNSET, Response

client = AuthenticatedClient(base_url=URL, token=TOKEN)

Body = TypeVar("Body")
Data = TypeVar("Data")


def answer(response: Response[Body | models.Problem], read: Callable[[Body], Data]) -> Answer[Data]:
    status, parsed = int(response.status_code), response.parsed
    if isinstance(parsed, models.Problem):
        version = parsed.current_version
        return Answer(status, problem=Problem(str(parsed.code), version if isinstance(version, int) else None))
    return Answer(status, None if parsed is None else read(parsed), headers=response.headers)


def task(envelope: models.TaskEnvelope) -> Task:
    return envelope.data


def page(page: models.TaskPage) -> Page:
    return Page(page.data, page.meta.next_cursor)


class Client:
    def create_task(self, title: str, key: str) -> Answer[Task]:
        draft = models.TaskDraft(title=title)
        return answer(create_task.sync_detailed(ME, client=client, body=draft, idempotency_key=key), task)

    def list_tasks(self, limit: int, cursor: str | None) -> Answer[Page]:
        return answer(list_tasks.sync_detailed(ME, client=client, limit=limit, cursor=cursor or UNSET), page)

    def get_task(self, user: str, id: str, tag: str | None = None) -> Answer[Task]:
        return answer(get_task.sync_detailed(user, UUID(id), client=client, if_none_match=tag or UNSET), task)

    def update_task(self, user: str, id: str, title: str, is_completed: bool, tag: str) -> Answer[Task]:
        update = models.TaskUpdate(
            title=title,
            description=None,
            due_date="2028-02-29",
            due_time="18:30",
            priority=models.Priority.HIGH,
            tags=["shopping"],
            is_completed=is_completed,
        )
        return answer(update_task.sync_detailed(user, UUID(id), client=client, body=update, if_match=tag), task)

    def patch_task(self, id: str, title: str) -> Answer[Task]:
        return answer(patch_task.sync_detailed(ME, UUID(id), client=client, body=models.TaskPatch(title=title)), task)

    def complete_task(self, id: str) -> Answer[Task]:
        return answer(complete_task.sync_detailed(ME, UUID(id), client=client), task)

    def delete_task(self, id: str) -> Answer[None]:
        return answer(delete_task.sync_detailed(ME, UUID(id), client=client), lambda nothing: None)


story("openapi-python-client", Client())
