// What a user of the API does, through the package as `npm pack` builds it.

import assert from "node:assert/strict";
import {
  createTasksClient,
  draftOf,
  patchOf,
  sendChange,
  subscribe,
  type Problem,
  type Task,
  type TaskDraft,
  type TaskPage,
  type TaskPatch,
  type TaskQuery,
} from "tasks-api-client";

const baseUrl = process.env["TASKS_URL"]!;
const api = createTasksClient({ baseUrl, token: () => process.env["TASKS_TOKEN"]! });
const mine = { user_id: "me" };

/** A UUID of version 7 (RFC 9562 §5.7) that was made now. */
function uuidv7(): string {
  const millis = Date.now().toString(16).padStart(12, "0");
  return `${millis.slice(0, 8)}-${millis.slice(8)}-7${crypto.randomUUID().slice(15)}`;
}

/** What an answer carries, or its problem thrown. */
function must<T>({ data, error }: { data?: T; error?: Problem }): T {
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  assert(data !== undefined);
  return data;
}

// Create with a key, and again, as if the first answer were lost.
const create = (title: string) =>
  api.POST("/api/{user_id}/tasks", {
    params: { path: mine, header: { "Idempotency-Key": "first" } },
    body: { title },
  });
const created = await create("Buy milk");
const task: Task = must(created).data;
assert.equal(created.response.status, 201);
assert.equal(created.response.headers.get("ETag"), task.etag);
assert.equal(created.response.headers.get("Location"), `/api/${task.user_id}/tasks/${task.id}`);
const again = await create("Buy milk");
assert.equal(again.response.headers.get("Idempotency-Replayed"), "true");
assert.deepEqual(must(again).data, task);
assert.equal((await create("Buy jam")).error?.code, "idempotency-key-reused");

// A title that breaks the contract is named.
const refused = await api.POST("/api/{user_id}/tasks", { params: { path: mine }, body: { title: " " } });
assert(refused.error?.code === "invalid-request");
assert.equal(refused.error.errors?.[0]?.pointer, "/title");

// Many at once, then all of them page by page, newest first.
const many = must(
  await api.POST("/api/{user_id}/tasks/bulk-create", {
    params: { path: mine },
    body: { tasks: [{ title: "One" }, { title: "Two" }, { title: "Three" }] },
  }),
).data;
const listed: Task[] = [];
for (let cursor: string | null | undefined; cursor !== null; ) {
  const page: TaskPage = must(
    await api.GET("/api/{user_id}/tasks", {
      params: { path: mine, query: { limit: 2, is_completed: false, ...(cursor && { cursor }) } },
    }),
  );
  listed.push(...page.data);
  cursor = page.meta.next_cursor;
}
assert.deepEqual(listed, [...many].reverse().concat(task));

// Read only what is news.
const path = { ...mine, id: task.id };
const known = await api.GET("/api/{user_id}/tasks/{id}", {
  params: { path, header: { "If-None-Match": task.etag } },
});
assert.deepEqual([known.response.status, known.data, known.error], [304, undefined, undefined]);

// Two who change the same version: the second is told.
const replace = (title: string) =>
  api.PUT("/api/{user_id}/tasks/{id}", {
    params: { path, header: { "If-Match": task.etag } },
    body: {
      title,
      description: null,
      due_date: "2028-02-29",
      due_time: null,
      priority: "high",
      tags: ["shopping"],
      is_completed: false,
    },
  });
const first = must(await replace("Buy oat milk")).data;
const second = await replace("Buy soy milk");
assert(second.error?.code === "version-mismatch");
assert.deepEqual(second.error.current, first);

// A merge patch leaves what it does not name.
const patched = must(
  await api.PATCH("/api/{user_id}/tasks/{id}", {
    params: { path, header: { "If-Match": `"${first.version}"` } },
    headers: { "Content-Type": "application/merge-patch+json" },
    body: { title: "Buy two oat milks" },
  }),
).data;
const { updated_at, etag } = patched;
assert.deepEqual(patched, { ...first, title: "Buy two oat milks", version: 3, updated_at, etag });

// Complete; a second time changes nothing.
const complete = () => api.PATCH("/api/{user_id}/tasks/{id}/complete", { params: { path } });
const done = must(await complete()).data;
assert(done.is_completed && done.completed_at !== null);
assert.deepEqual(must(await complete()).data, done);

// Complete and delete many, with the versions that were seen.
const tasks = many.map(({ id, version }) => ({ id, version }));
const completed = must(
  await api.POST("/api/{user_id}/tasks/bulk-complete", { params: { path: mine }, body: { tasks } }),
).data;
const stale = await api.POST("/api/{user_id}/tasks/bulk-delete", { params: { path: mine }, body: { tasks } });
assert(stale.error?.code === "version-mismatch");
assert.deepEqual(
  stale.error.errors?.map(({ pointer, current_version }) => [pointer, current_version]),
  completed.map(({ version }, place) => [`/tasks/${place}/version`, version]),
);
const deleted = await api.POST("/api/{user_id}/tasks/bulk-delete", {
  params: { path: mine },
  body: { tasks: completed.map(({ id, version }) => ({ id, version })) },
});
assert.equal(deleted.response.status, 204);

// A draft with an id of the client's own: sent again, it is the same creation.
const id = uuidv7();
const draft: TaskDraft = {
  id,
  title: "Call the plumber",
  due_date: "2026-02-28",
  due_time: "09:00",
  priority: "low",
  tags: ["home"],
};
const make = (body: TaskDraft) => api.POST("/api/{user_id}/tasks", { params: { path: mine }, body });
const own = must(await make(draft)).data;
assert.equal(own.id, id);
const repeated = await make(draft);
assert.equal(repeated.response.headers.get("Idempotency-Replayed"), "true");
const conflict = await make({ id, title: "Call somebody else" });
assert(conflict.error?.code === "task-id-taken");
assert.deepEqual(conflict.error.current, own);

// A selection gets a tag and a priority; each task its own.
const chosen = [own, done];
const changed = must(
  await api.POST("/api/{user_id}/tasks/bulk-patch", {
    params: { path: mine },
    body: { tasks: chosen.map(({ id, version, tags }) => ({ id, version, tags: [...tags, "today"], priority: "high" as const })) },
  }),
).data;
assert.deepEqual(
  changed.map(({ tags, priority }) => [tags, priority]),
  [
    [["home", "today"], "high"],
    [["shopping", "today"], "high"],
  ],
);

// What is due, a tag's board, and search as you type.
const list = async (query: TaskQuery) =>
  must(await api.GET("/api/{user_id}/tasks", { params: { path: mine, query } })).data.map(({ title }) => title);
assert.deepEqual(await list({ due_to: "2026-02-28", is_completed: false, sort: "due_date" }), [own.title]);
assert.deepEqual(await list({ tag: ["today", "home"], priority: ["high", "low"] }), [own.title]);
assert.deepEqual(await list({ q: "PLUMB", limit: 10 }), [own.title]);
assert.deepEqual(await list({ tag: ["today"], sort: "title" }), ["Buy two oat milks", own.title]);
must(await api.GET("/api/{user_id}/tasks", { params: { path: mine, query: { sort: "priority", include_total: true } } }));

// What is gone is taken for deleted.
for (const _ of ["once", "twice"]) {
  const cleared = await api.POST("/api/{user_id}/tasks/bulk-delete", { params: { path: mine }, body: { tasks: [{ id }] } });
  assert.equal(cleared.response.status, 204);
}

// Delete; a second time there is nothing to delete.
const remove = () => api.DELETE("/api/{user_id}/tasks/{id}", { params: { path } });
assert.equal((await remove()).response.status, 204);
assert.equal((await remove()).error?.code, "task-not-found");

// Others' tasks, and no token at all.
const theirs = await api.GET("/api/{user_id}/tasks", { params: { path: { user_id: "somebody" } } });
assert.equal(theirs.error?.code, "user-mismatch");
const nobody = createTasksClient({ baseUrl, token: "undefined" });
assert.equal((await nobody.GET("/api/{user_id}/tasks", { params: { path: mine } })).error?.code, "token-malformed");

// A proxy that answers in the server's place, without a body.
const proxied = createTasksClient({
  baseUrl,
  token: "any",
  fetch: async () => new Response(null, { status: 502, headers: { "Content-Length": "0" } }),
});
await assert.rejects(proxied.DELETE("/api/{user_id}/tasks/{id}", { params: { path } }), /502/);

// What changes, as it happens, among failures: the first answers are a proxy's, a server's that is away, and one that says to begin anew.
const failures = [
  () => new Response("<html>", { status: 502 }),
  () => Promise.reject(new TypeError("fetch failed")),
  () => problem(503, "unavailable", { "Retry-After": "1" }),
  () => problem(410, "changes-expired", { "Retry-After": "1" }),
];
function problem(status: number, code: string, headers: Record<string, string>): Response {
  const body = { type: `/problems/${code}`, title: code, status, detail: code, code, request_id: "x" };
  return Response.json(body, { status, headers: { ...headers, "Content-Type": "application/problem+json" } });
}
const asked: URL[] = [];
const failing = createTasksClient({
  baseUrl,
  token: () => process.env["TASKS_TOKEN"]!,
  fetch: async (request) => {
    asked.push(new URL(request.url));
    return failures.shift()?.() ?? fetch(request);
  },
});
const take = (id: string) => api.DELETE("/api/{user_id}/tasks/{id}", { params: { path: { ...mine, id } } });
const stop = new AbortController();
const copy = new Map<string, Task>();
let writes = 0;
for await (const change of subscribe(failing, { since: "0".repeat(80), limit: 2, signal: stop.signal })) {
  if (change.anew) copy.clear();
  for (const task of change.tasks) copy.set(task.id, task);
  for (const gone of change.deleted) copy.delete(gone);
  if (change.more) continue;
  const all = must(await api.GET("/api/{user_id}/tasks", { params: { path: mine, query: { limit: 100 } } })).data;
  assert.deepEqual([...copy.values()].sort((a, b) => (a.id < b.id ? 1 : -1)), all);
  // Each write is told, while it is waited for.
  if (writes++ === 0) setTimeout(() => void make({ title: "While it waits" }), 300);
  else if (writes === 2) setTimeout(() => void take(change.tasks[0]!.id), 300);
  else setTimeout(() => stop.abort(), 300);
}
assert.equal(writes, 3);
assert.equal(failures.length, 0);
// Until it was told to begin anew it went on from where it was, and behind that it waited.
assert.deepEqual(asked.slice(0, 5).map(({ searchParams }) => searchParams.has("since")), [true, true, true, true, false]);
assert.equal(asked.at(-1)?.searchParams.get("wait"), "25");

// What a device has done is done once, whatever was answered or not, and on top of what others did.
const kept = must(await make({ title: "Offline" })).data;
const changeOf = (patch: TaskPatch) => sendChange(api, { id: kept.id, etag: kept.etag, patch });
const edited = await changeOf(patchOf(kept, { ...kept, title: "Edited", version: 9 }));
assert.deepEqual([edited.task!.title, edited.task!.version, edited.isAlone], ["Edited", 2, true]);
assert.deepEqual(await changeOf({ title: "Edited" }), edited);
const merged = await changeOf({ priority: "low" });
assert.deepEqual([merged.task!.title, merged.task!.priority, merged.isAlone], ["Edited", "low", false]);
assert.deepEqual(await sendChange(api, { id: kept.id, etag: kept.etag }), merged, "a deletion that has not seen the edits");
assert.deepEqual(patchOf(kept, { ...kept, due_date: "2026-03-01", due_time: "18:00" }), { due_date: "2026-03-01", due_time: "18:00" });
const day = { ...kept, due_date: "2026-03-01" };
assert.deepEqual(patchOf(day, { ...day, due_time: "18:00" }), { due_date: "2026-03-01", due_time: "18:00" });
const drafted = { draft: draftOf({ ...kept, id: `${kept.id.slice(0, 24)}0123456789ab`, title: "Drafted" }) };
const drawn = await sendChange(api, drafted);
assert.deepEqual([drawn.task!.title, drawn.task!.version, drawn.isAlone], ["Drafted", 1, true]);
assert.deepEqual(await sendChange(api, drafted), drawn);
const other = await sendChange(api, { draft: { ...drafted.draft, title: "Another" } });
assert.deepEqual(other, { task: drawn.task, isAlone: false });
for (const isAlone of [true, false]) {
  assert.deepEqual(await sendChange(api, { id: drawn.task!.id, etag: drawn.task!.etag }), { task: null, isAlone });
}
assert.deepEqual(await sendChange(api, drafted), { task: null, isAlone: false });
const last = await sendChange(api, { id: kept.id, etag: "", patch: { title: "Whatever" } });
assert.equal(last.task!.title, "Whatever");
await assert.rejects(changeOf({ title: "" }), ({ message, problem }: Error & { problem?: Problem }) => {
  return message === "invalid-request" && problem?.status === 400;
});
assert.deepEqual(await sendChange(api, { id: kept.id, etag: last.task!.etag }), { task: null, isAlone: true });

// What another try does not help is thrown, as where there is no token.
const signedOut = createTasksClient({ baseUrl, token: () => Promise.reject(new Error("signed out")) });
await assert.rejects(async () => {
  for await (const change of subscribe(signedOut)) assert.fail(change.next);
}, { message: "signed out" });
const strange = createTasksClient({ baseUrl, token: "x" });
await assert.rejects(async () => {
  for await (const change of subscribe(strange)) assert.fail(change.next);
}, { message: "token-malformed" });

console.log("tasks-api-client: the whole story");
