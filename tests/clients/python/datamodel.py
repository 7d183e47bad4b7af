"""The models of datamodel-code-generator, sent and read by httpx."""

from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

import httpx
import models
from pydantic import BaseModel
from story import ME, TOKEN, URL, Answer, Page, Problem, Task, carried, story

http = httpx.Client(base_url=URL, headers={"Authorization": f"Bearer {TOKEN}"})

Body = TypeVar("Body", bound=BaseModel)
Data = TypeVar("Data")


def ask(
    method: str,
    path: str,
    body: BaseModel | None,
    shape: type[Body],
    read: Callable[[Body], Data],
    **headers: str | None,
) -> Answer[Data]:
    given = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    # What was not set is left out: else a patch says null for it.
    content = None if body is None else body.model_dump_json(exclude_unset=True)
    if content is not None:
        given["Content-Type"] = "application/json"
    response = http.request(method, f"/api/{path}", content=content, headers=given)
    if response.is_error:
        problem = models.Problem.model_validate_json(response.content)
        return Answer(response.status_code, problem=Problem(problem.model_dump(mode="json")["code"], problem.current_version))
    data = read(shape.model_validate_json(response.content)) if response.content else None
    return Answer(response.status_code, data, headers=response.headers)


def one(method: str, path: str, body: BaseModel | None = None, **headers: str | None) -> Answer[Task]:
    return ask(method, path, body, models.TaskEnvelope, lambda envelope: envelope.data, **headers)


class Client:
    def create_task(self, title: str, key: str) -> Answer[Task]:
        return one("POST", f"{ME}/tasks", models.TaskDraft(title=title), Idempotency_Key=key)

    def list_tasks(self, limit: int, cursor: str | None) -> Answer[Page]:
        path = f"{ME}/tasks?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        return ask("GET", path, None, models.TaskPage, lambda page: Page(page.data, page.meta.next_cursor))

    def get_task(self, user: str, id: str, tag: str | None = None) -> Answer[Task]:
        return one("GET", f"{user}/tasks/{id}", If_None_Match=tag)

    def update_task(self, user: str, id: str, title: str, is_completed: bool, tag: str) -> Answer[Task]:
        update = models.TaskUpdate(
            title=title,
            description=None,
            due_date="2028-02-29",
            due_time="18:30",
            priority=models.Priority.high,
            tags=["shopping"],
            is_completed=is_completed,
        )
        return one("PUT", f"{user}/tasks/{id}", update, If_Match=tag)

    def patch_task(self, id: str, title: str) -> Answer[Task]:
        return one("PATCH", f"{ME}/tasks/{id}", models.TaskPatch(title=title))

    def complete_task(self, id: str) -> Answer[Task]:
        return one("PATCH", f"{ME}/tasks/{id}/complete")

    def delete_task(self, id: str) -> Answer[None]:
        return ask("DELETE", f"{ME}/tasks/{id}", None, models.TaskEnvelope, lambda nothing: None)


story("datamodel-code-generator", Client())

# A patch that says all it could say says null, which is refused by name.
created = carried(Client().create_task("Buy milk", str(uuid4())), 201)
said = models.TaskPatch(title="Buy jam").model_dump_json()
refusal = http.patch(f"/api/{ME}/tasks/{created.id}", content=said, headers={"Content-Type": "application/json"})
pointers = [error["pointer"] for error in refusal.json()["errors"]]
assert (refusal.status_code, pointers) == (400, ["/tags", "/is_completed"]), refusal.text
Client().delete_task(str(created.id))
