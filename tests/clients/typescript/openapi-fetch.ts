// openapi-typescript and openapi-fetch, as README.md uses them.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";
import { type Answer, type Options, type Problem, headersOf, story, token, url } from "./story.js";

const api = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

const tasks = "/api/{user_id}/tasks";
const one = "/api/{user_id}/tasks/{id}";
const params = (options: Options) => ({ path: { user_id: options.user }, header: headersOf(options) });
const of = (options: Options, id: string) => ({ ...params(options), path: { user_id: options.user, id } });

async function answer<Data, Failure extends Problem>(
  request: Promise<{ data?: Data; error?: Failure; response: Response }>,
): Promise<Answer<Data>> {
  const { data, error, response } = await request;
  const { status, headers } = response;
  if (status !== 304) return { status, headers, data, problem: error };
  // Neither `data` nor a problem, but the empty body.
  assert.deepEqual([data, error], [undefined, ""]);
  return { status, headers };
}

await story("openapi-fetch", {
  createTask: (options, body) => answer(api.POST(tasks, { params: params(options), body })),
  listTasks: (options, query) => answer(api.GET(tasks, { params: { ...params(options), query } })),
  getTask: (options, id) => answer(api.GET(one, { params: of(options, id) })),
  updateTask: (options, id, body) => answer(api.PUT(one, { params: of(options, id), body })),
  patchTask: (options, id, body) => answer(api.PATCH(one, { params: of(options, id), body })),
  completeTask: (options, id) => answer(api.PATCH(`${one}/complete`, { params: of(options, id) })),
  deleteTask: (options, id) => answer(api.DELETE(one, { params: of(options, id) })),
  bulkCreateTasks: (options, body) => answer(api.POST(`${tasks}/bulk-create`, { params: params(options), body })),
  bulkCompleteTasks: (options, body) => answer(api.POST(`${tasks}/bulk-complete`, { params: params(options), body })),
  bulkDeleteTasks: (options, body) => answer(api.POST(`${tasks}/bulk-delete`, { params: params(options), body })),
});
