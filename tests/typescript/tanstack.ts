import { createCollection, type PendingMutation } from "@tanstack/db";
import { IndexedDBAdapter, startOfflineExecutor, type OfflineConfig } from "@tanstack/offline-transactions";
import { draftOf, patchOf, sendChange, subscribe, type Problem, type Task, type TasksClient } from "tasks-api-client";

/**
 * The tasks of the user as a collection, and what changes them, also offline. A change that the server refuses is undone; that, and a token
 * that it refuses, is told to `onProblem`.
 */
export async function openTasks(
  api: TasksClient,
  userId: string,
  onProblem: (problem: Problem) => void,
  config: Partial<OfflineConfig> = {},
) {
  const known = new Map<string, Task>();
  let put = (_tasks: Task[], _gone: Iterable<string> = []): void => {};
  const tasks = createCollection<Task, string>({
    id: "tasks",
    getKey: ({ id }) => id,
    sync: {
      sync({ begin, write, commit, markReady }) {
        const stop = new AbortController();
        /** While all is read anew: what has come. */
        let came: Set<string> | undefined;
        put = (tasks, gone = []) => {
          begin();
          for (const value of tasks) {
            came?.add(value.id);
            write({ type: known.has(value.id) ? "update" : "insert", value });
            known.set(value.id, value);
          }
          for (const key of gone) if (known.delete(key)) write({ type: "delete", key });
          commit();
        };
        const follow = async (since?: string): Promise<void> => {
          try {
            for await (const { tasks, deleted, next, more, anew } of subscribe(api, { userId, since, signal: stop.signal })) {
              if (anew) came = new Set();
              // A page that was on its way may be older than what our own write was answered.
              put(came ? tasks : tasks.filter(({ id, version }) => version >= (known.get(id)?.version ?? 0)), deleted);
              if (more) continue;
              if (came) put([], [...known.keys()].filter((id) => !came?.has(id)));
              [came, since] = [undefined, next];
              markReady();
            }
          } catch (error) {
            // The token is refused. Until there is a good one, nothing comes.
            const { problem } = error as { problem?: Problem };
            if (problem) onProblem(problem);
            setTimeout(() => void follow(came ? undefined : since), 5000);
          }
        };
        void follow();
        return () => stop.abort();
      },
    },
  });

  /** What each tag has become by our own writes alone: whoever deletes what they have edited has seen that edit. */
  const became = new Map<string, string>();
  const send = async ({ type, key: id, original, modified }: PendingMutation<Task>): Promise<void> => {
    let etag = "etag" in original ? original.etag : "";
    while (became.has(id + etag)) etag = became.get(id + etag)!;
    const change =
      type === "insert"
        ? { draft: draftOf(modified) }
        : { id, etag, ...(type === "update" && { patch: patchOf(original, modified) }) };
    try {
      const { task, isAlone } = await sendChange(api, change, { userId });
      if (task && isAlone) became.set(id + etag, task.etag);
      if (task) put([task]);
      else put([], [id]);
    } catch (error) {
      const { problem } = error as { problem?: Problem };
      // The outbox reads texts: it drops what has 400, 401, 403 or 422 in it. Codes have no numbers.
      if (!problem || ![400, 413, 422].includes(problem.status)) throw new Error(problem?.code ?? "no answer");
      onProblem(problem);
    }
  };
  const offline = startOfflineExecutor({
    // What another user of the device has left is not sent as this one's.
    storage: new IndexedDBAdapter(`tasks-${userId}`),
    // Every tab keeps and sends its own changes: sent twice, they are done once. Else those of all tabs but one are lost offline.
    leaderElection: {
      requestLeadership: async () => true,
      releaseLeadership: () => {},
      isLeader: () => true,
      onLeadershipChange: () => () => {},
    },
    ...config,
    collections: { tasks },
    mutationFns: {
      send: async ({ transaction }) => {
        for (const change of transaction.mutations) await send(change as unknown as PendingMutation<Task>);
      },
    },
  });
  // Until then a change is not kept.
  await offline.waitForInit();
  /** Changes the collection: at once, and on the server as soon as it answers. */
  const write = (change: () => void) => offline.createOfflineTransaction({ mutationFnName: "send" }).mutate(change);
  return { tasks, offline, write };
}
