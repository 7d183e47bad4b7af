// What each generated client does on the live server. A client's own file says how it is called.

import assert from "node:assert/strict";

export interface Task {
  id: string;
  user_id: string;
  title: string;
  is_completed: boolean;
  completed_at: string | Date | null;
  created_at: string | Date;
  updated_at: string | Date;
  version: number;
  etag: string;
}

export interface Problem {
  status: number;
  code: string;
  detail: string;
  current_version?: number | undefined;
}

/** An answer: its status, and what it carries of the rest. */
export interface Answer<Data> {
  status: number;
  data?: Data | undefined;
  problem?: Problem | undefined;
  /** Where a client gives the headers away. */
  headers?: Headers | undefined;
}

interface Page {
  data: Task[];
  meta: { next_cursor: string | null };
}

interface PageQuery {
  limit?: number;
  cursor?: string;
  is_completed?: boolean;
}

type One = Promise<Answer<{ data: Task }>>;
type Nothing = Promise<Answer<unknown>>;

/** Whose tasks, and how a request depends on what was seen: the values of the headers. */
export interface Options {
  user: string;
  key?: string;
  match?: string;
  noneMatch?: string;
}

/** What a replacement sends: every writable member. */
export interface Whole {
  title: string;
  description: string | null;
  due_date: string | null;
  due_time: string | null;
  priority: "high" | "medium" | "low" | null;
  tags: string[];
  is_completed: boolean;
}

const whole: Whole = {
  title: "Buy milk",
  description: "Oat milk.\nNo sugar.",
  due_date: "2028-02-29",
  due_time: "18:30",
  priority: "high",
  tags: ["shopping", "home"],
  is_completed: false,
};

export interface Client {
  createTask(options: Options, body: { title: string }): One;
  listTasks(options: Options, query: PageQuery): Promise<Answer<Page>>;
  getTask(options: Options, id: string): One;
  updateTask(options: Options, id: string, body: Whole): One;
  patchTask(options: Options, id: string, body: { title?: string; is_completed?: boolean }): One;
  /** Without a body. */
  completeTask(options: Options, id: string): One;
  deleteTask(options: Options, id: string): Nothing;
  bulkCreateTasks(options: Options, body: { tasks: { title: string }[] }): Promise<Answer<{ data: Task[] }>>;
  bulkCompleteTasks(
    options: Options,
    body: { tasks: { id: string; version?: number }[] },
  ): Promise<Answer<{ data: Task[] }>>;
  bulkDeleteTasks(options: Options, body: { tasks: { id: string; version?: number }[] }): Nothing;
}

/** The address of the server and a token of it. */
export const url = process.env["TASKS_URL"]!;
export const token = process.env["TASKS_TOKEN"]!;

const me = { user: "me" };
/** A user for whom the server answers as one of a later version may: with a member and a code that no client knows. */
const later = { user: "later" };

/** The headers of a request, for clients that take them by name. */
export const headersOf = ({ key, match, noneMatch }: Options) => ({
  ...(key && { "Idempotency-Key": key }),
  ...(match && { "If-Match": match }),
  ...(noneMatch && { "If-None-Match": noneMatch }),
});

/** What an answer of this status carries. */
function carried<Data>(answer: Answer<Data>, status: number): Data {
  assert.equal(answer.problem, undefined);
  assert.equal(answer.status, status);
  assert(answer.data !== undefined);
  return answer.data;
}

function refused(answer: Answer<unknown>, status: number, code: string): Problem {
  assert(answer.problem, `${answer.status} has no problem`);
  const { problem } = answer;
  assert.deepEqual([answer.status, problem.status, problem.code], [status, status, code]);
  assert.match(problem.detail, /\w/);
  return problem;
}

/** A header of the answer, where the client gives them away. */
function header(answer: Answer<unknown>, name: string, value: string | null) {
  if (answer.headers) assert.equal(answer.headers.get(name), value);
}

/** `encodes` unless what stands in a path goes out as it is. */
export async function story(name: string, api: Client, encodes = true) {
  // Create with a key, and again, as if the first answer were lost.
  const key = { ...me, key: crypto.randomUUID() };
  const created = await api.createTask(key, { title: "Buy milk" });
  const task = carried(created, 201).data;
  assert.deepEqual([task.title, task.is_completed, task.completed_at, task.version], ["Buy milk", false, null, 1]);
  header(created, "ETag", task.etag);
  const again = await api.createTask(key, { title: "Buy milk" });
  assert.deepEqual(carried(again, 201).data, task);
  header(again, "Idempotency-Replayed", "true");
  refused(await api.createTask(key, { title: "Buy jam" }), 422, "idempotency-key-reused");

  // Page by page, newest first.
  const bulk = { tasks: [{ title: "One" }, { title: "Two" }, { title: "Three" }] };
  const many = carried(await api.bulkCreateTasks({ ...me, key: crypto.randomUUID() }, bulk), 201).data;
  const listed: Task[] = [];
  let pages = 0;
  let cursor: string | null = null;
  do {
    const query: PageQuery = { limit: 2, is_completed: false, ...(cursor !== null && { cursor }) };
    const { data, meta } = carried(await api.listTasks(me, query), 200);
    listed.push(...data);
    cursor = meta.next_cursor;
    pages += 1;
  } while (cursor !== null);
  assert.deepEqual(listed, [...many].reverse().concat(task));
  assert.equal(pages, 2);

  // Read only what is news.
  const known = await api.getTask({ ...me, noneMatch: task.etag }, task.id);
  assert.deepEqual([known.status, known.problem], [304, undefined]);
  assert.deepEqual(carried(await api.getTask({ ...me, noneMatch: '"7"' }, task.id), 200).data, task);
  const page = await api.listTasks(me, {});
  const tag = page.headers?.get("ETag");
  if (tag) assert.equal((await api.listTasks({ ...me, noneMatch: tag }, {})).status, 304);

  // Two who change the same version: the second is told.
  const seen = { ...me, match: task.etag };
  const first = carried(await api.updateTask(seen, task.id, { ...whole, title: "Buy oat milk" }), 200).data;
  assert.deepEqual([first.title, first.version], ["Buy oat milk", 2]);
  const late = await api.updateTask(seen, task.id, { ...whole, title: "Buy soy milk" });
  assert.equal(refused(late, 412, "version-mismatch").current_version, 2);

  // A patch leaves what it does not name.
  const patched = carried(
    await api.patchTask({ ...me, match: '"2"' }, task.id, { title: "Buy two oat milks" }),
    200,
  ).data;
  const { updated_at, etag } = first;
  assert.deepEqual({ ...patched, updated_at, etag }, { ...first, title: "Buy two oat milks", version: 3 });
  assert.equal(carried(await api.patchTask(me, task.id, { is_completed: true }), 200).data.title, "Buy two oat milks");
  assert.equal(carried(await api.patchTask(me, task.id, { is_completed: false }), 200).data.completed_at, null);

  // Complete without a body; a second time changes nothing.
  const done = carried(await api.completeTask(me, task.id), 200).data;
  assert(done.is_completed && done.completed_at !== null);
  assert.deepEqual(carried(await api.completeTask(me, task.id), 200).data, done);

  // Complete and delete many, with the versions that were seen.
  const tasks = many.map(({ id, version }) => ({ id, version }));
  const completed = carried(await api.bulkCompleteTasks(me, { tasks }), 200).data;
  refused(await api.bulkDeleteTasks(me, { tasks }), 412, "version-mismatch");
  const gone = await api.bulkDeleteTasks(me, { tasks: completed.map(({ id, version }) => ({ id, version })) });
  assert.deepEqual([gone.status, gone.problem], [204, undefined]);

  // A server of a later version: the task is read as ever, and of the problem status and code.
  assert.equal(carried(await api.getTask(later, task.id), 200).data.version, done.version);
  refused(
    await api.updateTask({ ...later, match: '"1"' }, task.id, { ...whole, title: "Milk", is_completed: true }),
    412,
    "task-archived",
  );

  // A user's id may have characters that mean something in a path.
  const [status, code] = encodes ? ([403, "user-mismatch"] as const) : ([404, "path-not-found"] as const);
  refused(await api.getTask({ user: "a/b" }, task.id), status, code);

  // Delete; a second time there is nothing to delete.
  const deleted = await api.deleteTask(me, task.id);
  assert.deepEqual([deleted.status, deleted.problem], [204, undefined]);
  refused(await api.deleteTask(me, task.id), 404, "task-not-found");

  console.log(`${name}: the whole story`);
}
