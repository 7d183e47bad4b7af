import { deepEqual, newRxError, type RxCollection, type RxJsonSchema, type RxReplicationWriteToMasterRow, type WithDeleted } from "rxdb";
import { replicateRxCollection } from "rxdb/plugins/replication";
import { from, Subject } from "rxjs";
import { draftOf, patchOf, sendChange, subscribe, type Problem, type Task, type TasksClient } from "tasks-api-client";

const text = { type: "string", default: "" };
const textOrNull = { type: ["string", "null"], default: null };

/** A new row needs an id and a title; the version 0 is that of a task which the server has not answered yet. */
export const taskSchema: RxJsonSchema<Task> = {
  version: 0,
  primaryKey: "id",
  type: "object",
  properties: {
    id: { type: "string", maxLength: 36 },
    user_id: text,
    title: { type: "string", minLength: 1, maxLength: 200 },
    description: { ...textOrNull, minLength: 1, maxLength: 4000 },
    due_date: textOrNull,
    due_time: textOrNull,
    priority: textOrNull,
    tags: { type: "array", items: { type: "string" }, maxItems: 20, uniqueItems: true, default: [] },
    is_completed: { type: "boolean", default: false },
    completed_at: textOrNull,
    created_at: text,
    updated_at: text,
    version: { type: "integer", default: 0 },
    etag: text,
  },
  required: ["id", "title", "tags", "is_completed", "version", "etag"],
};

/** A later server may tell more of a task than the schema has. */
const known = (task: Task) => {
  const names = Object.keys(taskSchema.properties) as (keyof Task)[];
  return Object.fromEntries(names.map((name) => [name, task[name]])) as unknown as Task;
};

/** Keeps a collection of tasks and the server the same. `error$` of what is answered tells what is tried again, or was refused. */
export function syncTasks(collection: RxCollection<Task>, api: TasksClient, userId: string, { wait = 25, retryTime = 5000 } = {}) {
  const stream$ = new Subject<{ documents: WithDeleted<Task>[]; checkpoint: { since: string } }>();
  const answers = new WeakMap<object, WithDeleted<Task>[]>();
  let stop = new AbortController();

  async function* read(since: string | undefined, signal: AbortSignal) {
    const told = new Map<string, Task | null>();
    let isAll = false;
    for await (const { tasks, deleted, next, more, anew } of subscribe(api, { userId, since, wait, signal })) {
      isAll ||= anew;
      if (anew) told.clear();
      // What does not come again is gone, but not what was never sent.
      const kept = anew ? await collection.find({ selector: { version: { $gt: 0 } } }).exec() : [];
      for (const id of [...kept.map((row) => row.id), ...deleted]) told.set(id, null);
      for (const task of tasks) told.set(task.id, task);
      if (more) continue;
      // RxDB drops what comes for a row while it sends that row.
      const { streamQueue } = replication.internalReplicationState!;
      for (let sent; sent !== streamQueue.up; ) await (sent = streamQueue.up);
      if (signal.aborted) return;
      const rows = await collection.findByIds([...told.keys()]).exec();
      const documents = [...told].flatMap(([id, task]) => {
        const row = rows.get(id)?.toMutableJSON();
        if (!task) return row ? [{ ...row, _deleted: true }] : [];
        // What was on its way while a write was answered may be older than that answer.
        return row && row.version > task.version && !isAll ? [] : [{ ...known(task), _deleted: false }];
      });
      yield { documents, checkpoint: { since: next } };
      told.clear();
      isAll = false;
    }
  }

  async function send({ assumedMasterState: base, newDocumentState: mine }: RxReplicationWriteToMasterRow<Task>) {
    const [{ id, _deleted }, etag] = [mine, base?.etag ?? ""];
    const patch = patchOf(base ?? collection.schema.defaultValues, mine);
    // Nothing that the server takes, as where RxDB sends what it was answered.
    if (base?._deleted === _deleted && deepEqual(patch, {})) return [];
    try {
      const change = _deleted ? { id, etag } : base ? { id, etag, patch } : { draft: draftOf(mine) };
      let { task, isAlone } = await sendChange(api, change, { userId });
      // It was created before, by a request whose answer was lost, and edited since.
      if (task && !base && !isAlone) ({ task } = await sendChange(api, { id, etag: task.etag, patch }, { userId }));
      // All that was changed was changed here, by a request that is not answered to RxDB yet.
      if (task && _deleted && deepEqual(patchOf(task, mine), {})) ({ task } = await sendChange(api, { id, etag: task.etag }, { userId }));
      // What is answered is a conflict to RxDB: so it takes the version and the times that the server made.
      return [task ? { ...known(task), _deleted: false } : { ...mine, _deleted: true }];
    } catch (error) {
      const { problem } = error as { problem?: Problem };
      if (!problem || ![400, 413, 422].includes(problem.status)) throw error;
      // It would be sent for ever, and all else wait for it: the row becomes what it was.
      replication.subjects.error.next(newRxError("RC_PUSH", { id, args: { error } }));
      return [base ?? { ...mine, _deleted: true }];
    }
  }

  const replication = replicateRxCollection<Task, { since: string }>({
    replicationIdentifier: `tasks-${userId}`,
    collection,
    retryTime,
    pull: {
      stream$,
      // RxDB asks at its start, and after a pause. What comes then, comes by the stream.
      handler: async (checkpoint) => {
        stop.abort();
        stop = new AbortController();
        const pages = read(checkpoint?.since, stop.signal);
        const first = checkpoint ? undefined : (await pages.next()).value;
        from(pages).subscribe({
          next: (page) => stream$.next(page),
          error: (error) => {
            replication.subjects.error.next(newRxError("RC_PULL", { args: { error } }));
            setTimeout(() => replication.reSync(), retryTime);
          },
        });
        return first ?? { documents: [], checkpoint };
      },
    },
    push: {
      // After a failure RxDB comes with the same rows again: those that were answered are not sent again.
      handler: async (rows) => {
        for (const row of rows) if (!answers.has(row)) answers.set(row, await send(row));
        return rows.flatMap((row) => answers.get(row)!);
      },
    },
  });
  replication.onCancel.push(() => stop.abort());
  return replication;
}
