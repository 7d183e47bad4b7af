// One round trip with the client that orval generates.

import assert from "node:assert/strict";
import { createTask, deleteTask, listTasks, updateTask } from "./orval/tasks.js";

const signedIn = { headers: { Authorization: `Bearer ${process.env["TASKS_TOKEN"]}` } };

const created = await createTask("me", { title: "Buy milk" }, { "Idempotency-Key": "orval" }, signedIn);
if (created.status !== 201) throw new Error(created.data.detail);
const task = created.data.data;
const late = await updateTask("me", task.id, { title: "Buy jam", is_completed: false }, { "If-Match": '"7"' }, signedIn);
assert(late.status === 412 && late.data.code === "version-mismatch");
assert.equal(late.data.current_version, task.version);
const page = await listTasks("me", { limit: 1, is_completed: false }, {}, signedIn);
assert(page.status === 200);
assert.deepEqual(page.data.data, [task]);
const gone = await deleteTask("me", task.id, {}, signedIn);
assert.equal(gone.status, 204);
console.log("orval: created, was too late, listed, deleted");
