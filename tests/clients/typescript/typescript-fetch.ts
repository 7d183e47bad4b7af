// openapi-generator's typescript-fetch, whose members are in camelCase and whose times are dates.

import { type Answer, type Options, type Task, story, token, url } from "./story.js";
import * as generated from "./typescript-fetch/index.js";

const api = new generated.TasksApi(new generated.Configuration({ basePath: url, accessToken: token }));

const params = ({ user, key, match, noneMatch }: Options) => ({
  userId: user,
  ...(key && { idempotencyKey: key }),
  ...(match && { ifMatch: match }),
  ...(noneMatch && { ifNoneMatch: noneMatch }),
});

const taskOf = ({
  id,
  userId,
  title,
  isCompleted,
  completedAt,
  createdAt,
  updatedAt,
  version,
  etag,
}: generated.Task): Task => ({
  ...{ id, user_id: userId, title, is_completed: isCompleted, version, etag },
  ...{ completed_at: completedAt, created_at: createdAt, updated_at: updatedAt },
});
const one = ({ data }: generated.TaskEnvelope) => ({ data: taskOf(data) });
const several = ({ data }: generated.TaskList) => ({ data: data.map(taskOf) });
const page = ({ data, meta }: generated.TaskPage) => ({
  data: data.map(taskOf),
  meta: { next_cursor: meta.nextCursor },
});

const inCamelCase = <Body extends { is_completed?: boolean }>({ is_completed, ...rest }: Body) => ({
  ...rest,
  ...(is_completed !== undefined && { isCompleted: is_completed }),
});

/** What is no success is thrown, with the answer as it is. */
async function answer<Data, Read>(
  request: Promise<generated.ApiResponse<Data>>,
  read: (data: Data) => Read,
): Promise<Answer<Read>> {
  try {
    const answered = await request;
    return { status: answered.raw.status, headers: answered.raw.headers, data: read(await answered.value()) };
  } catch (refusal) {
    if (!(refusal instanceof generated.ResponseError)) throw refusal;
    const { status, headers } = refusal.response;
    if (status === 304) return { status, headers };
    const problem = generated.ProblemFromJSON(await refusal.response.json());
    return {
      status,
      headers,
      problem: { ...problem, code: String(problem.code), current_version: problem.currentVersion },
    };
  }
}
const nothing = () => undefined;

await story("openapi-generator, typescript-fetch", {
  createTask: (o, taskDraft) => answer(api.createTaskRaw({ ...params(o), taskDraft }), one),
  listTasks: (o, query) => answer(api.listTasksRaw({ ...params(o), ...inCamelCase(query) }), page),
  getTask: (o, id) => answer(api.getTaskRaw({ ...params(o), id }), one),
  updateTask: (o, id, { is_completed: isCompleted, due_date: dueDate, due_time: dueTime, ...rest }) =>
    answer(api.updateTaskRaw({ ...params(o), id, taskUpdate: { ...rest, dueDate, dueTime, isCompleted } }), one),
  patchTask: (o, id, body) => answer(api.patchTaskRaw({ ...params(o), id, taskPatch: inCamelCase(body) }), one),
  completeTask: (o, id) => answer(api.completeTaskRaw({ ...params(o), id }), one),
  deleteTask: (o, id) => answer(api.deleteTaskRaw({ ...params(o), id }), nothing),
  bulkCreateTasks: (o, taskDrafts) => answer(api.bulkCreateTasksRaw({ ...params(o), taskDrafts }), several),
  bulkCompleteTasks: (o, { tasks }) =>
    answer(api.bulkCompleteTasksRaw({ ...params(o), taskSelection: { tasks: new Set(tasks) } }), several),
  bulkDeleteTasks: (o, { tasks }) =>
    answer(api.bulkDeleteTasksRaw({ ...params(o), taskSelection: { tasks: new Set(tasks) } }), nothing),
});
