import type { Client, ClientOptions } from "openapi-fetch";
import type { operations, paths, Task, TaskDraft, TaskPatch } from "./schema.js";

export type * from "./schema.js";

/** The operations, by method and path. */
export type TasksClient = Client<paths>;

/** What a list is asked for: filters, order and page. */
export type TaskQuery = NonNullable<operations["listTasks"]["parameters"]["query"]>;

export interface TasksClientOptions extends ClientOptions {
  /** The sign-in system's JSON Web Token, or what gets one: it is asked before each request. */
  token: string | (() => string | Promise<string>);
}

/**
 * A client of the server at `baseUrl`. Every answer has `data` or an `error`, a problem with a `code`; a deletion and a
 * 304 have neither. What comes from a proxy, and is no answer of the server, is thrown.
 */
export declare function createTasksClient(options: TasksClientOptions): TasksClient;

/** What changed of a user's tasks. */
export interface ChangesOfTasks {
  /** The tasks that were created or changed, as they are now. */
  tasks: Task[];
  /** The ids of those that were deleted. */
  deleted: string[];
  /** Where to go on: keep it with the tasks, and give it as `since` the next time. */
  next: string;
  /** Whether more is there already: until it is false, not all is there that there was. */
  more: boolean;
  /** This begins with all that there is: what was read before and does not come again, up to `more: false`, is gone. */
  anew: boolean;
}

export interface SubscribeOptions {
  /** The `next` of the last changes that were kept; without it, all tasks come first. */
  since?: string | undefined;
  /** Whose tasks; `me` by default. */
  userId?: string | undefined;
  /** How many tasks and ids come at once at most: 1 to 100, by default 100. */
  limit?: number | undefined;
  /** For how many seconds a request waits for changes: 0 to 30, by default 25. */
  wait?: number | undefined;
  /** Ends it. */
  signal?: AbortSignal | undefined;
}

/**
 * What changes of a user's tasks, as it happens: it waits, asks again after failures, each time later, and begins anew where the server
 * says so. It ends when `signal` does. What another try does not help, such as a token that is refused, is thrown, as an error whose
 * `problem` the server told; go on with the last `next`.
 */
export declare function subscribe(
  client: TasksClient,
  options?: SubscribeOptions,
): AsyncGenerator<ChangesOfTasks, void, undefined>;

/** The draft by which a device creates a task that it has shown already. */
export declare function draftOf(task: Pick<Task, "id"> & Partial<Task>): TaskDraft & { id: string };

/** The members that a device may write and that differ: the patch that makes one of the other. */
export declare function patchOf(before: Partial<Task>, after: Partial<Task>): TaskPatch;

/** What a device has done to a task. `etag`: that of the task which it was done to; empty where the server has not told it. */
export type TaskChange =
  | { draft: TaskDraft & { id: string } }
  | { id: string; etag: string; patch: TaskPatch }
  | { id: string; etag: string };

export interface ChangedTask {
  /** The task as the server has it now; null where it is gone. */
  task: Task | null;
  /** Whether nobody else has changed it since it was as the change knows it. */
  isAlone: boolean;
}

/**
 * Does what a device has done, however long ago, and again where its answer was lost: it is done once. Where somebody else has changed the
 * task meanwhile, a patch goes on top, member by member; a deletion, which has not seen that, is not done. What becomes of a task that
 * another has deleted is nothing. What else the server refuses is thrown, as an error whose `problem` it told.
 */
export declare function sendChange(
  client: TasksClient,
  change: TaskChange,
  options?: { userId?: string | undefined },
): Promise<ChangedTask>;
