import type { Client, ClientOptions } from "openapi-fetch";
import type { operations, paths } from "./schema.js";

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
