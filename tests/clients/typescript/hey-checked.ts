// hey-api with its transformers, and each request and answer checked by its zod schemas.

import { client } from "./hey-checked/client.gen.js";
import * as api from "./hey-checked/index.js";
import { type Answer, type Options, type Problem, headersOf, story, token, url } from "./story.js";

client.setConfig({ baseUrl: url, auth: token });

const params = (options: Options) => ({ path: { user_id: options.user }, headers: headersOf(options) });
const of = (options: Options, id: string) => ({ ...params(options), path: { user_id: options.user, id } });

async function answer<Data>(request: Promise<{ data: Data | undefined; error: Problem | undefined; response?: Response }>): Promise<Answer<Data>> {
  const { data, error, response } = await request;
  const { status, headers } = response!;
  return { status, headers, data, problem: status === 304 ? undefined : error };
}

await story("hey-api, checked", {
  createTask: (options, body) => answer(api.createTask({ ...params(options), body })),
  listTasks: (options, query) => answer(api.listTasks({ ...params(options), query })),
  getTask: (options, id) => answer(api.getTask(of(options, id))),
  updateTask: (options, id, body) => answer(api.updateTask({ ...of(options, id), body })),
  patchTask: (options, id, body) => answer(api.patchTask({ ...of(options, id), body })),
  completeTask: (options, id) => answer(api.completeTask(of(options, id))),
  deleteTask: (options, id) => answer(api.deleteTask(of(options, id))),
  bulkCreateTasks: (options, body) => answer(api.bulkCreateTasks({ ...params(options), body })),
  bulkCompleteTasks: (options, body) => answer(api.bulkCompleteTasks({ ...params(options), body })),
  bulkDeleteTasks: (options, body) => answer(api.bulkDeleteTasks({ ...params(options), body })),
});
