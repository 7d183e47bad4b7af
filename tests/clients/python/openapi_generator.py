"""openapi-generator's client in Python."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import openapi_client
from openapi_client import ApiException, ApiResponse
from story import ME, TOKEN, URL, Answer, Page, Problem, Task, story

api = openapi_client.TasksApi(openapi_client.ApiClient(openapi_client.Configuration(host=URL, access_token=TOKEN)))

Body = TypeVar("Body")
Data = TypeVar("Data")


def answer(ask: Callable[[], ApiResponse[Body]], read: Callable[[Body], Data]) -> Answer[Data]:
    try:
        answered = ask()
    except ApiException as refusal:
        problem = refusal.data
        if not isinstance(problem, openapi_client.Problem):
            return Answer(int(refusal.status))
        return Answer(problem.status, problem=Problem(problem.to_dict()["code"], problem.current_version))
    return Answer(answered.status_code, read(answered.data), headers=answered.headers)


def task(envelope: openapi_client.TaskEnvelope) -> Task:
    return envelope.data


def page(page: openapi_client.TaskPage) -> Page:
    return Page(page.data, page.meta.next_cursor)


class Client:
    def create_task(self, title: str, key: str) -> Answer[Task]:
        draft = openapi_client.TaskDraft(title=title)
        return answer(lambda: api.create_task_with_http_info(ME, draft, idempotency_key=key), task)

    def list_tasks(self, limit: int, cursor: str | None) -> Answer[Page]:
        return answer(lambda: api.list_tasks_with_http_info(ME, limit=limit, cursor=cursor), page)

    def get_task(self, user: str, id: str, tag: str | None = None) -> Answer[Task]:
        return answer(lambda: api.get_task_with_http_info(user, UUID(id), if_none_match=tag), task)

    def update_task(self, user: str, id: str, title: str, is_completed: bool, tag: str) -> Answer[Task]:
        update = openapi_client.TaskUpdate(
            title=title,
            description=None,
            due_date="2028-02-29",
            due_time="18:30",
            priority="high",
            tags=["shopping"],
            is_completed=is_completed,
        )
        return answer(lambda: api.update_task_with_http_info(user, UUID(id), update, if_match=tag), task)

    def patch_task(self, id: str, title: str) -> Answer[Task]:
        return answer(lambda: api.patch_task_with_http_info(ME, UUID(id), openapi_client.TaskPatch(title=title)), task)

    def complete_task(self, id: str) -> Answer[Task]:
        return answer(lambda: api.complete_task_with_http_info(ME, UUID(id)), task)

    def delete_task(self, id: str) -> Answer[None]:
        return answer(lambda: api.delete_task_with_http_info(ME, UUID(id)), lambda nothing: None)


story("openapi-generator, python", Client())
