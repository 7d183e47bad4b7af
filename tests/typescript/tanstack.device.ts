// The code of tanstack.ts on a device of the stories.

import type { Task } from "tasks-api-client";
import type { Device, Network } from "./device.js";
import { openTasks } from "./tanstack.js";

export const keepsWork = true;

/** What each device keeps: in a browser, IndexedDB does. */
const kept = new Map<string, Map<string, string>>();

/** What the server makes of a task, until it has. */
const unmade = { user_id: "", completed_at: null, created_at: "", updated_at: "", version: 0, etag: "" };
const empty = { description: null, due_date: null, due_time: null, priority: null, tags: [], is_completed: false };

export async function open(network: Network, name: string): Promise<Device> {
  const outbox = kept.get(name) ?? new Map<string, string>();
  kept.set(name, outbox);
  const ended: (() => void)[] = [];
  const { tasks, offline, write } = await openTasks(network.api, network.userId, () => {}, {
    storage: {
      get: async (key) => outbox.get(key) ?? null,
      set: async (key, value) => void outbox.set(key, value),
      delete: async (key) => void outbox.delete(key),
      keys: async () => [...outbox.keys()],
      clear: async () => outbox.clear(),
    },
    // That of browsers does not work in Node.
    onlineDetector: {
      isOnline: () => network.isOnline(),
      notifyOnline: () => {},
      subscribe: (tell) => {
        const end = network.onChange(tell);
        ended.push(end);
        return end;
      },
      dispose: () => {},
    },
  });
  void tasks.preload();
  const done = async (change: () => void): Promise<void> => void write(change);
  return {
    rows: async () => new Map(tasks.toArray.map((task) => [task.id, plain(task)])),
    create: (draft) => done(() => tasks.insert({ ...unmade, ...empty, ...draft } as Task)),
    change: (id, patch) => done(() => tasks.update(id, (task) => void Object.assign(task, patch))),
    remove: (id) => done(() => tasks.delete(id)),
    close: async () => {
      for (const end of ended) end();
      offline.dispose();
      await tasks.cleanup();
    },
  };
}

/** Without what the library adds to a row. */
function plain(task: Task): Task {
  return Object.fromEntries(Object.entries(task).filter(([name]) => !name.startsWith("$"))) as Task;
}
