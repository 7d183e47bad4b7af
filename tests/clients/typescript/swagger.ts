// swagger-typescript-api.

import { type Answer, type Options, type Problem, headersOf, story, token, url } from "./story.js";
import { Api, type HttpResponse, type Priority } from "./swagger-api.js";

const { api } = new Api({ baseUrl: url, securityWorker: () => ({ headers: { Authorization: `Bearer ${token}` } }) });

const params = (options: Options) => ({ headers: headersOf(options) });

/** What is no success is thrown, and where the operation answers nothing its problem is not read yet. */
async function answer<Data, Failure extends Problem | void>(
  request: Promise<HttpResponse<Data, Failure>>,
): Promise<Answer<Data>> {
  try {
    const { status, headers, data } = await request;
    return { status, headers, data };
  } catch (refusal) {
    const answered = refusal as HttpResponse<Data, Problem>;
    const { status, headers } = answered;
    return status === 304
      ? { status, headers }
      : { status, headers, problem: answered.error ?? (await answered.json()) };
  }
}

await story(
  "swagger-typescript-api",
  {
    createTask: (o, body) => answer(api.createTask(o.user, body, params(o))),
    listTasks: (o, query) => answer(api.listTasks(o.user, query, params(o))),
    getTask: (o, id) => answer(api.getTask(o.user, id, params(o))),
    // Its words are those of a TypeScript enum, which takes no text.
    updateTask: (o, id, { priority, ...body }) =>
      answer(api.updateTask(o.user, id, { ...body, priority: priority as Priority | null }, params(o))),
    patchTask: (o, id, body) => answer(api.patchTask(o.user, id, body, params(o))),
    completeTask: (o, id) => answer(api.completeTask(o.user, id, {}, params(o))),
    deleteTask: (o, id) => answer(api.deleteTask(o.user, id, params(o))),
    bulkCreateTasks: (o, body) => answer(api.bulkCreateTasks(o.user, body, params(o))),
    bulkCompleteTasks: (o, body) => answer(api.bulkCompleteTasks(o.user, body, params(o))),
    bulkDeleteTasks: (o, body) => answer(api.bulkDeleteTasks(o.user, body, params(o))),
  },
  false,
);
