// orval's fetch client, and its zod schemas on what it answers.

import { type Answer, type Options, type Problem, headersOf, story, token, url } from "./story.js";
import * as api from "./orval/tasks.js";
import * as z from "./orval/zod.js";

const signedIn = { headers: { Authorization: `Bearer ${token}` } };

type Answered = { status: number; data: unknown; headers: Headers };
/** The data of the answers that succeed. */
type Carried<A> = A extends { status: 200 | 201; data: infer Data } ? Data : never;

async function answer<A extends Answered>(
  request: Promise<A>,
  schema?: { parse(value: unknown): unknown },
): Promise<Answer<Carried<A>>> {
  const { status, data, headers } = await request;
  if (status >= 400) return { status, headers, problem: data as Problem };
  if (status !== 304) schema?.parse(data);
  return { status, headers, data: data as Carried<A> };
}

await story("orval", {
  createTask: (o, body) => answer(api.createTask(o.user, body, headersOf(o), signedIn), z.CreateTaskResponse),
  listTasks: (o, query) => answer(api.listTasks(o.user, query, headersOf(o), signedIn), z.ListTasksResponse),
  getTask: (o, id) => answer(api.getTask(o.user, id, headersOf(o), signedIn), z.GetTaskResponse),
  updateTask: (o, id, body) => answer(api.updateTask(o.user, id, body, headersOf(o), signedIn), z.UpdateTaskResponse),
  patchTask: (o, id, body) => answer(api.patchTask(o.user, id, body, headersOf(o), signedIn), z.PatchTaskResponse),
  completeTask: (o, id) => answer(api.completeTask(o.user, id, undefined, headersOf(o), signedIn), z.CompleteTaskResponse),
  deleteTask: (o, id) => answer(api.deleteTask(o.user, id, headersOf(o), signedIn)),
  bulkCreateTasks: (o, body) => answer(api.bulkCreateTasks(o.user, body, headersOf(o), signedIn), z.BulkCreateTasksResponse),
  bulkCompleteTasks: (o, body) => answer(api.bulkCompleteTasks(o.user, body, headersOf(o), signedIn), z.BulkCompleteTasksResponse),
  bulkDeleteTasks: (o, body) => answer(api.bulkDeleteTasks(o.user, body, headersOf(o), signedIn)),
});
