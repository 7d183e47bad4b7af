// RxDB on a device of the stories.

import { createRxDatabase, type RxCollection } from "rxdb";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import type { Task } from "tasks-api-client";
import type { Open } from "./device.js";
import { syncTasks, taskSchema } from "./rxdb.js";

/** What was not sent is there again when the device is opened again. */
export const keepsWork = true;

export const open: Open = async (network, name) => {
  const database = await createRxDatabase<{ tasks: RxCollection<Task> }>({ name, storage: getRxStorageMemory(), multiInstance: false });
  const { tasks } = await database.addCollections({ tasks: { schema: taskSchema } });
  const replication = syncTasks(tasks, network.api, network.userId, { retryTime: 500 });
  const forget = network.onChange(() => {
    if (network.isOnline()) replication.reSync();
  });
  return {
    rows: async () => new Map((await tasks.find().exec()).map((row) => [row.id, row.toMutableJSON()])),
    create: async (draft) => {
      // The schema has the members that are left out.
      await tasks.insert(draft as Task);
    },
    change: async (id, patch) => {
      await (await tasks.findOne(id).exec(true)).incrementalPatch(patch);
    },
    remove: async (id) => {
      await (await tasks.findOne(id).exec(true)).incrementalRemove();
    },
    close: async () => {
      forget();
      await database.close();
    },
  };
};
