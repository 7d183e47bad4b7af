// The world of the stories: a server, its users, and networks that fail.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { createTasksClient, type Task, type TaskDraft, type TaskPatch, type TasksClient } from "tasks-api-client";
import type { Device, Network, Open } from "./device.js";

/** The server, as a test has it. */
export interface Server {
  /** Where it listens; another address when it was started anew. */
  url(): string;
  /** A token of a user. */
  token(user: string): string;
  /** Tells the database from its past (`tasks-server epoch new`). */
  newEpoch(): void;
  /** Copies the database; what is answered puts the copy in its place, as an operator does. */
  backUp(): () => Promise<void>;
  /** Ends the server; what is answered starts it again. */
  end(): Promise<() => Promise<void>>;
}

/** A device's network. */
export class Wire implements Network {
  /** How many answers to writes are lost from now on: the server does them, and nobody hears of it. */
  lose = 0;
  /** Where it is not 0: of so many answers to writes, one is lost. */
  flaky = 0;
  /** How many requests from now on have a token that has expired. */
  stale = 0;
  /** How late answers to reads come, in milliseconds. */
  late = 0;
  requests = 0;
  readonly api: TasksClient;
  #writes = 0;
  #isOnline = true;
  #listeners = new Set<() => void>();
  #cut = new AbortController();

  constructor(
    server: Server,
    readonly userId: string,
  ) {
    const token = server.token(userId);
    this.api = createTasksClient({
      // Replaced with each request: the server may have moved.
      baseUrl: "http://tasks",
      token: () => (this.stale-- > 0 ? "e30.e30.e30" : token),
      fetch: async (request) => {
        this.requests += 1;
        if (!this.#isOnline) throw new TypeError("fetch failed");
        const signal = AbortSignal.any([request.signal, this.#cut.signal]);
        const body = request.method === "GET" ? null : await request.text();
        const { method, headers } = request;
        const answer = await fetch(request.url.replace("http://tasks", server.url()), { method, headers, body: body || null, signal });
        if (method === "GET") await sleep(this.late);
        if (method !== "GET" && (this.lose > 0 || ++this.#writes % this.flaky === 0)) {
          this.lose -= 1;
          throw new TypeError("fetch failed");
        }
        return answer;
      },
    });
  }

  isOnline(): boolean {
    return this.#isOnline;
  }

  onChange(tell: () => void): () => void {
    this.#listeners.add(tell);
    return () => void this.#listeners.delete(tell);
  }

  set online(is: boolean) {
    this.#isOnline = is;
    if (!is) {
      this.#cut.abort(new TypeError("fetch failed"));
      this.#cut = new AbortController();
    }
    for (const tell of this.#listeners) tell();
  }
}

const mine = { path: { user_id: "me" } };

/** A user with two devices, and somebody who looks at the server itself. */
export class Scene {
  readonly a: Wire;
  readonly b: Wire;
  readonly direct: TasksClient;
  /** The devices. */
  A!: Device;
  B!: Device;

  private constructor(
    readonly server: Server,
    readonly user: string,
    private readonly open: Open,
  ) {
    this.a = new Wire(server, user);
    this.b = new Wire(server, user);
    this.direct = new Wire(server, user).api;
  }

  static async of(server: Server, user: string, open: Open): Promise<Scene> {
    const scene = new Scene(server, user, open);
    await scene.reopen();
    return scene;
  }

  /** Opens the devices, or those that were closed. */
  async reopen(): Promise<void> {
    this.A = await this.open(this.a, `${this.user}-a`);
    this.B ??= await this.open(this.b, `${this.user}-b`);
  }

  async close(): Promise<void> {
    await Promise.all([this.A.close(), this.B.close()]);
  }

  /** The tasks that the server has. */
  async truth(): Promise<Map<string, Task>> {
    const all = new Map<string, Task>();
    for (let cursor: string | undefined; ; ) {
      const { data, error } = await this.direct.GET("/api/{user_id}/tasks", { params: { ...mine, query: { limit: 100, cursor } } });
      if (error) throw new Error(error.code);
      for (const task of data.data) all.set(task.id, task);
      if (!data.meta.next_cursor) return all;
      cursor = data.meta.next_cursor;
    }
  }

  /** Waits until both devices show what the server has, and answers that. */
  async settled(millis = 30_000): Promise<Map<string, Task>> {
    const until = Date.now() + millis;
    for (let calm = 0; ; ) {
      const [truth, a, b] = [await this.truth(), await this.A.rows(), await this.B.rows()];
      const isSame = [a, b].every((rows) => show(rows) === show(truth));
      // Once may be before something is sent.
      calm = isSame ? calm + 1 : 0;
      if (calm === 5) return truth;
      if (Date.now() > until) {
        assert.deepEqual(sorted(a), sorted(truth), `device A of ${this.user}`);
        assert.deepEqual(sorted(b), sorted(truth), `device B of ${this.user}`);
      }
      await sleep(60);
    }
  }

  /** Tasks that are there, on both devices. */
  async given(...titles: string[]): Promise<string[]> {
    const ids = titles.map(() => newId());
    const { error } = await this.direct.POST("/api/{user_id}/tasks/bulk-create", {
      params: mine,
      body: { tasks: titles.map((title, place) => ({ id: ids[place]!, title })) },
    });
    if (error) throw new Error(error.code);
    await this.settled();
    return ids;
  }

  /** What somebody else changes, past both devices. */
  async elsewhere(id: string, patch: TaskPatch): Promise<void> {
    const { error } = await this.direct.PATCH("/api/{user_id}/tasks/{id}", { params: { path: { user_id: "me", id } }, body: patch });
    if (error) throw new Error(error.code);
  }

  async deleteElsewhere(id: string): Promise<void> {
    await this.direct.DELETE("/api/{user_id}/tasks/{id}", { params: { path: { user_id: "me", id } } });
  }
}

function sorted(rows: Map<string, Partial<Task>>): Partial<Task>[] {
  return [...rows.values()].sort((one, other) => (one.id! < other.id! ? -1 : 1));
}

function show(rows: Map<string, Partial<Task>>): string {
  return JSON.stringify(sorted(rows).map((row) => Object.entries(row).sort(([one], [other]) => (one < other ? -1 : 1))));
}

/** A UUID of version 7 (RFC 9562 §5.7): the server takes no other from a client. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  new DataView(bytes.buffer).setBigUint64(0, (BigInt(Date.now()) << 16n) | 0x7000n | BigInt(bytes[6]! & 15) << 8n | BigInt(bytes[7]!));
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.reduce((text, byte, place) => text + ([4, 6, 8, 10].includes(place) ? "-" : "") + byte.toString(16).padStart(2, "0"), "");
}

/** A draft with an id of its own. */
export function draft(title: string, more: Partial<TaskDraft> = {}): TaskDraft & { id: string } {
  return { ...more, id: newId(), title };
}
