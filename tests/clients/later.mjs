// The server as it may be one day: what a client of today's document must survive.

import { once } from "node:events";
import { createServer, request } from "node:http";

/**
 * Passes every request on to the server at `url`. For the user `later` that is the caller, and the answers have a member and
 * the problems a code that no document knows: both may be added at any time (api/README.md). `look` sees each answer first.
 */
export async function later(url, look = () => {}) {
  const server = createServer((asked, answered) => {
    const path = asked.url.replace(/^\/api\/later\//, "/api/me/");
    const isLater = path !== asked.url;
    const headers = { ...asked.headers, ...(isLater && { "accept-encoding": "identity" }) };
    const passedOn = request(new URL(path, url), { method: asked.method, headers }, async (answer) => {
      look(answer);
      if (!isLater) {
        answered.writeHead(answer.statusCode, answer.headers);
        return answer.pipe(answered);
      }
      const text = (await answer.toArray()).join("");
      const body = text ? JSON.parse(text) : undefined;
      if (body?.code) Object.assign(body, { code: "task-archived", archived_at: "2030-01-01T00:00:00.000000Z" });
      for (const task of [body?.data ?? []].flat()) task.due_at = null;
      const { "content-length": _, ...rest } = answer.headers;
      answered.writeHead(answer.statusCode, rest);
      answered.end(body && JSON.stringify(body));
    });
    passedOn.on("error", (cause) => answered.destroy(cause));
    asked.pipe(passedOn);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
}
