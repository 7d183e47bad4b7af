import createClient from "openapi-fetch";

/** The errors of those who were to get a token. */
const untold = new WeakSet();

async function ask(token) {
  try {
    return await token();
  } catch (error) {
    if (error instanceof Object) untold.add(error);
    throw error;
  }
}

export function createTasksClient({ token, ...options }) {
  const client = createClient(options);
  client.use({
    async onRequest({ request }) {
      const value = typeof token === "function" ? await ask(token) : token;
      request.headers.set("Authorization", `Bearer ${value}`);
    },
    onResponse({ response }) {
      const { status, headers } = response;
      // Without this, openapi-fetch takes "not modified" for an error whose body is empty.
      if (status === 304) {
        const empty = new Headers(headers);
        empty.set("Content-Length", "0");
        return new Response(null, { status, headers: empty });
      }
      // A proxy's answer, which would be an error without a code, or none at all.
      if (!response.ok && !headers.get("Content-Type")?.startsWith("application/problem+json")) {
        throw new Error(`${status} from something between here and the server`);
      }
      return undefined;
    },
  });
  return client;
}

/** How long to wait at first after a failure, and at most, in milliseconds. */
const SOON = 500;
const LATEST = 30_000;

export async function* subscribe(client, { since, userId = "me", limit = 100, wait = 25, signal } = {}) {
  let anew = since === undefined;
  for (let failures = 0; !signal?.aborted; ) {
    // An answer may wait; one that never comes is given up.
    const limits = [AbortSignal.timeout((wait + 15) * 1000), ...(signal ? [signal] : [])];
    const query = since === undefined ? { limit } : { limit, since, wait };
    let answer;
    try {
      answer = await client.GET("/api/{user_id}/tasks/changes", {
        params: { path: { user_id: userId }, query },
        signal: AbortSignal.any(limits),
      });
    } catch (error) {
      // No answer, or not the server's. Without a token there is nothing to ask again with.
      if (untold.has(error)) throw error;
    }
    if (answer?.data) {
      const { data, deleted, meta } = answer.data;
      const isNews = anew || data.length > 0 || deleted.length > 0;
      ({ next: since } = meta);
      failures = 0;
      if (isNews) yield { tasks: data, deleted, next: meta.next, more: meta.more, anew };
      anew = false;
      continue;
    }
    const status = answer?.response.status;
    if (status === 410) {
      since = undefined;
      anew = true;
    } else if (answer && status < 500 && status !== 408 && status !== 429) {
      throw Object.assign(new Error(answer.error.code), { problem: answer.error });
    }
    const asked = Number(answer?.response.headers.get("Retry-After") ?? 0) * 1000;
    const spread = Math.min(SOON * 2 ** failures++, LATEST) * (0.5 + Math.random() / 2);
    await pause(Math.max(asked, status === 410 ? 0 : spread), signal);
  }
}

const MEMBERS = ["title", "description", "due_date", "due_time", "priority", "tags", "is_completed"];

export function draftOf(task) {
  return { id: task.id, ...Object.fromEntries(MEMBERS.map((name) => [name, task[name]])) };
}

export function patchOf(before, after) {
  const changed = MEMBERS.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  // A time is one of a day, which somebody else may take away meanwhile.
  if (changed.includes("due_time") && after.due_time) changed.push("due_date");
  return Object.fromEntries(changed.map((name) => [name, after[name]]));
}

export async function sendChange(client, { draft, id, patch, etag }, { userId = "me" } = {}) {
  // What was made here would be of version 1.
  for (let tag = etag || '"1"', isAlone = true; ; isAlone = false) {
    const params = { path: { user_id: userId, id }, header: { "If-Match": tag } };
    const { data, error } = await (draft
      ? client.POST("/api/{user_id}/tasks", { params: { path: { user_id: userId } }, body: draft })
      : patch
        ? client.PATCH("/api/{user_id}/tasks/{id}", { params, body: patch })
        : client.DELETE("/api/{user_id}/tasks/{id}", { params }));
    if (!error) return { task: data?.data ?? null, isAlone };
    if (error.code === "version-mismatch" && patch) {
      tag = error.current.etag;
    } else if (["version-mismatch", "task-id-taken", "task-not-found"].includes(error.code)) {
      return { task: error.current ?? null, isAlone: false };
    } else {
      throw Object.assign(new Error(error.code), { problem: error });
    }
  }
}

/** Ends after so many milliseconds, or when that is not wanted any more. */
function pause(millis, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, millis);
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end);
  });
}
