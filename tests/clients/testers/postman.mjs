// Postman's import: the first request of the collection works once a token is pasted.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import postman from "openapi-to-postmanv2";
import { start } from "../../server.mjs";

const probe = createServer();
await once(probe.listen(0, "127.0.0.1"), "listening");
const { port } = probe.address();
probe.close();
await once(probe, "close");
// A server that knows where the world finds it: only then its document says so.
const url = `http://127.0.0.1:${port}`;
const server = await start(process.env.TASKS_BINARY, { LISTEN: `127.0.0.1:${port}`, PUBLIC_URL: url });
try {
  const data = await (await fetch(`${url}/openapi.json`)).text();
  // As "Import settings" has them: Parameter generation, Enable optional parameters.
  const settings = { parametersResolution: "Example", enableOptionalParameters: false };
  const { result, reason, output } = await new Promise((done, failed) =>
    postman.convertV2({ type: "string", data }, settings, (fault, converted) => (fault ? failed(fault) : done(converted))),
  );
  assert(result, reason);
  const collection = output[0].data;
  const firstOf = (item) => (item.item ? firstOf(item.item[0]) : item);
  const { name, request } = firstOf(collection);

  const variables = Object.fromEntries(collection.variable.map(({ key, value }) => [key, value]));
  variables.bearerToken = server.token;
  const filled = (text) => text.replaceAll(/\{\{(\w+)\}\}/g, (_, key) => variables[key]);
  const enabled = (all = []) => all.filter(({ disabled }) => !disabled);
  const parts = Object.fromEntries(request.url.variable.map(({ key, value }) => [key, value]));
  const path = request.url.path.map((part) => (part.startsWith(":") ? encodeURIComponent(parts[part.slice(1)]) : part));
  const query = new URLSearchParams(enabled(request.url.query).map(({ key, value }) => [key, value]));
  const headers = Object.fromEntries(enabled(request.header).map(({ key, value }) => [key, filled(value)]));
  assert.equal(request.auth.type, "bearer");
  headers.Authorization = `Bearer ${filled(request.auth.bearer.find(({ key }) => key === "token").value)}`;
  const address = `${filled(request.url.host.join("."))}/${path.join("/")}?${query}`;
  const answer = await fetch(address, { method: request.method, headers });
  assert.equal(answer.status, 200, `${name}: ${request.method} ${address}: ${await answer.text()}`);
  console.log(`Postman: "${name}" answers 200`);
} finally {
  await server.stop();
}
