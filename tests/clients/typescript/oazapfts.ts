// oazapfts.

import * as api from "./oazapfts-api.js";
import { type Answer, type Options, type Problem, story, token, url } from "./story.js";

api.defaults.baseUrl = url;
api.defaults.headers = { Authorization: `Bearer ${token}` };

const headers = ({ key, match, noneMatch }: Options) => ({
  ...(key && { idempotencyKey: key }),
  ...(match && { ifMatch: match }),
  ...(noneMatch && { ifNoneMatch: noneMatch }),
});

type Answered = { status: number; data?: unknown; headers: Headers };
/** The data of the answers that succeed. */
type Carried<A> = A extends { status: 200 | 201; data: infer Data } ? Data : never;

async function answer<A extends Answered>(request: Promise<A>): Promise<Answer<Carried<A>>> {
  const { status, data, headers } = await request;
  return status < 400 ? { status, headers, data: data as Carried<A> } : { status, headers, problem: data as Problem };
}

await story("oazapfts", {
  createTask: (o, body) => answer(api.createTask(o.user, body, headers(o))),
  listTasks: (o, { is_completed, ...page }) =>
    answer(api.listTasks(o.user, { ...page, ...(is_completed !== undefined && { isCompleted: is_completed }), ...headers(o) })),
  getTask: (o, id) => answer(api.getTask(o.user, id, headers(o))),
  updateTask: (o, id, body) => answer(api.updateTask(o.user, id, body, headers(o))),
  patchTask: (o, id, body) => answer(api.patchTask(o.user, id, body, headers(o))),
  completeTask: (o, id) => answer(api.completeTask(o.user, id, undefined, headers(o))),
  deleteTask: (o, id) => answer(api.deleteTask(o.user, id, headers(o))),
  bulkCreateTasks: (o, body) => answer(api.bulkCreateTasks(o.user, body, headers(o))),
  bulkCompleteTasks: (o, body) => answer(api.bulkCompleteTasks(o.user, body, headers(o))),
  bulkDeleteTasks: (o, body) => answer(api.bulkDeleteTasks(o.user, body, headers(o))),
});
