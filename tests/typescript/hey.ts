// One round trip with the client that hey-api generates.

import assert from "node:assert/strict";
import { client } from "./hey/client.gen.js";
import { createTask, deleteTask, listTasks, updateTask } from "./hey/index.js";

client.setConfig({ baseUrl: process.env["TASKS_URL"]!, auth: () => process.env["TASKS_TOKEN"] });

const path = { user_id: "me" };
const created = await createTask({ path, headers: { "Idempotency-Key": "hey" }, body: { title: "Buy milk" } });
if (created.error) throw created.error;
const task = created.data.data;
const late = await updateTask({
  path: { ...path, id: task.id },
  headers: { "If-Match": '"7"' },
  body: { title: "Buy jam", is_completed: false },
});
assert(late.error?.code === "version-mismatch");
assert.equal(late.error.current_version, task.version);
const page = await listTasks({ path, query: { limit: 1, is_completed: false }, throwOnError: true });
assert.deepEqual(page.data.data, [task]);
const gone = await deleteTask({ path: { ...path, id: task.id } });
assert.equal(gone.response?.status, 204);
console.log("hey-api: created, was too late, listed, deleted");
