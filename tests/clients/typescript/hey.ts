// hey-api as it is: what it answers is held against its zod and valibot schemas, and asked for by TanStack Query too.

import assert from "node:assert/strict";
import { QueryClient } from "@tanstack/react-query";
import * as valibot from "valibot";
import { createTaskMutation, getTaskOptions, listTasksInfiniteOptions } from "./hey/@tanstack/react-query.gen.js";
import { client } from "./hey/client.gen.js";
import * as api from "./hey/index.js";
import * as v from "./hey/valibot.gen.js";
import * as z from "./hey/zod.gen.js";
import { type Answer, type Options, type Problem, headersOf, story, token, url } from "./story.js";

client.setConfig({ baseUrl: url, auth: token });

const params = (options: Options) => ({ path: { user_id: options.user }, headers: headersOf(options) });
const of = (options: Options, id: string) => ({ ...params(options), path: { user_id: options.user, id } });

async function answer<Data>(
  request: Promise<{ data: Data | undefined; error: Problem | undefined; response?: Response }>,
  schemas?: [{ parse(value: unknown): unknown }, valibot.GenericSchema],
): Promise<Answer<Data>> {
  const { data, error, response } = await request;
  const { status, headers } = response!;
  if (status === 304) {
    // Neither `data` nor a problem, but an empty object.
    assert.deepEqual([data, error], [undefined, {}]);
    return { status, headers };
  }
  const [zod, vali] = error ? [z.zProblem, v.vProblem] : (schemas ?? []);
  zod?.parse(error ?? data);
  if (vali) valibot.parse(vali, error ?? data);
  return { status, headers, data, problem: error };
}

await story("hey-api", {
  createTask: (options, body) => answer(api.createTask({ ...params(options), body }), [z.zTaskEnvelope, v.vTaskEnvelope]),
  listTasks: (options, query) => answer(api.listTasks({ ...params(options), query }), [z.zTaskPage, v.vTaskPage]),
  getTask: (options, id) => answer(api.getTask(of(options, id)), [z.zTaskEnvelope, v.vTaskEnvelope]),
  updateTask: (options, id, body) => answer(api.updateTask({ ...of(options, id), body }), [z.zTaskEnvelope, v.vTaskEnvelope]),
  patchTask: (options, id, body) => answer(api.patchTask({ ...of(options, id), body }), [z.zTaskEnvelope, v.vTaskEnvelope]),
  completeTask: (options, id) => answer(api.completeTask(of(options, id)), [z.zTaskEnvelope, v.vTaskEnvelope]),
  deleteTask: (options, id) => answer(api.deleteTask(of(options, id))),
  bulkCreateTasks: (options, body) => answer(api.bulkCreateTasks({ ...params(options), body }), [z.zTaskList, v.vTaskList]),
  bulkCompleteTasks: (options, body) => answer(api.bulkCompleteTasks({ ...params(options), body }), [z.zTaskList, v.vTaskList]),
  bulkDeleteTasks: (options, body) => answer(api.bulkDeleteTasks({ ...params(options), body })),
});

const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
const me = { user_id: "me" };
for (const title of ["One", "Two", "Three"]) {
  await queries.getMutationCache().build(queries, createTaskMutation()).execute({ path: me, body: { title } });
}
const pages = await queries.fetchInfiniteQuery({
  ...listTasksInfiniteOptions({ path: me, query: { limit: 2 } }),
  initialPageParam: { path: me },
  pages: 2,
  getNextPageParam: ({ meta }) => meta.next_cursor,
});
const found = pages.pages.flatMap(({ data }) => data);
assert.deepEqual(found.map(({ title }) => title), ["Three", "Two", "One"]);
const id = found[0]!.id;
assert.deepEqual((await queries.fetchQuery(getTaskOptions({ path: { ...me, id } }))).data, found[0]);
await api.deleteTask({ path: { ...me, id } });
const lost = queries.fetchQuery(getTaskOptions({ path: { ...me, id } }));
await assert.rejects(lost, (problem: Problem) => problem.code === "task-not-found");
for (const task of found.slice(1)) await api.deleteTask({ path: { ...me, id: task.id } });
console.log("hey-api: the same by TanStack Query");
