// kubb 4: its fetch client, and its zod schemas on what it answers.

import { setConfig } from "@kubb/plugin-client/clients/fetch";
import * as api from "./kubb/index.js";
import { type Answer, type Problem, headersOf, story, token, url } from "./story.js";

// Its fetch sends no type of the body of its own.
setConfig({ baseURL: url, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" } });

/** What is typed as data may be a problem: the status tells. */
async function answer<Data>(
  request: Promise<{ status: number; data: Data; headers: Headers }>,
  schema?: { parse(value: unknown): unknown },
): Promise<Answer<Data>> {
  const { status, data, headers } = await request;
  if (status >= 400) return { status, headers, problem: api.problemSchema.parse(data) as Problem };
  if (status !== 304) schema?.parse(data);
  return { status, headers, data };
}

await story("kubb", {
  createTask: (o, body) => answer(api.createTask(o.user, body, headersOf(o)), api.taskEnvelopeSchema),
  listTasks: (o, query) => answer(api.listTasks(o.user, query, headersOf(o)), api.taskPageSchema),
  getTask: (o, id) => answer(api.getTask(o.user, id, headersOf(o)), api.taskEnvelopeSchema),
  updateTask: (o, id, body) => answer(api.updateTask(o.user, id, body, headersOf(o)), api.taskEnvelopeSchema),
  patchTask: (o, id, body) => answer(api.patchTask(o.user, id, body, headersOf(o)), api.taskEnvelopeSchema),
  completeTask: (o, id) => answer(api.completeTask(o.user, id, undefined, headersOf(o)), api.taskEnvelopeSchema),
  deleteTask: (o, id) => answer(api.deleteTask(o.user, id, headersOf(o))),
  bulkCreateTasks: (o, body) => answer(api.bulkCreateTasks(o.user, body, headersOf(o)), api.taskListSchema),
  bulkCompleteTasks: (o, body) => answer(api.bulkCompleteTasks(o.user, body, headersOf(o)), api.taskListSchema),
  bulkDeleteTasks: (o, body) => answer(api.bulkDeleteTasks(o.user, body, headersOf(o))),
}, false);
