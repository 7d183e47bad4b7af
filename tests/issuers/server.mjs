// Servers of the given binary with settings of the caller's, and requests with a token.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const binary = process.argv[2] && resolve(process.argv[2]);
if (!binary) {
  console.error(`usage: node ${process.argv[1]} /path/to/tasks-server`);
  process.exit(2);
}

export const scratch = mkdtempSync(join(tmpdir(), "issuers-"));
export const servers = [];

// Whatever way this process ends, no child and no file outlives it.
process.on("exit", () => {
  for (const { child } of servers) child.kill("SIGKILL");
  rmSync(scratch, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

export async function startServer(name, settings) {
  const cwd = join(scratch, `server-${servers.length}`);
  mkdirSync(cwd);

  // The log goes straight to a file: reading it here would slow a flood down.
  const logFile = join(cwd, "log");
  const log = openSync(logFile, "a");
  const child = spawn(binary, [], {
    cwd,
    env: {
      PATH: process.env.PATH,
      LISTEN: "127.0.0.1:0",
      RATE_LIMIT_PER_MINUTE: "0",
      RATE_LIMIT_PER_MINUTE_ADDRESS: "0",
      ...settings,
    },
    stdio: ["ignore", log, log],
  });
  closeSync(log);

  const server = { name, child, readLog: () => readFileSync(logFile, "utf8") };
  servers.push(server);
  child.on("error", (error) => (server.spawnError = error));

  const start = performance.now();
  while (!/^Ready/m.test(server.readLog())) {
    assert.ifError(server.spawnError);
    const ended = child.exitCode ?? child.signalCode;
    assert.equal(ended, null, `${name} ended before it was ready: ${server.readLog()}`);
    assert.ok(performance.now() - start < 15_000, `${name} was not ready within 15 s`);
    await sleep(20);
  }
  // What is printed before it may be where the world finds the server.
  const address = server.readLog().match(/^ +listening +(127\.0\.0\.1:\d+)$/m)?.[1];
  assert.ok(address, `${name} did not print its address`);
  server.url = `http://${address}`;
  return server;
}

export async function stopServer({ name, child }) {
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  const timedOut = sleep(15_000, ["timeout"], { ref: false });
  const [code] = await Promise.race([exit, timedOut]);
  assert.equal(code, 0, `${name} must end cleanly on SIGTERM`);
}

/** Calls the API with a bearer token. A body makes it a POST. */
export async function call(server, path, token, body) {
  const response = await fetch(server.url + path, {
    method: body ? "POST" : "GET",
    headers: {
      authorization: `Bearer ${token}`,
      ...(body && { "content-type": "application/json" }),
    },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text) };
}

export const listTasks = (server, token) => call(server, "/api/me/tasks", token);

export async function assertAccepted(server, token, message) {
  const { status, text } = await listTasks(server, token);
  assert.equal(status, 200, `${message}: ${text}`);
}

export async function assertRefused(server, token, code, message = "refused") {
  assertUnauthorized(await listTasks(server, token), code, message);
}

export function assertUnauthorized({ status, headers, text, json }, code, message = "refused") {
  assert.equal(status, 401, `${message}: expected 401 ${code}, got ${status}: ${text}`);
  assert.equal(json.code, code, `${message}: ${text}`);
  assert.match(headers.get("content-type"), /^application\/problem\+json\b/);
  assert.match(headers.get("www-authenticate") ?? "", /^Bearer .*error="invalid_token"/);
}

/** The last lines of every log, for whoever looks for the cause of a failure. */
export function showLogs() {
  for (const { name, readLog } of servers) {
    const lines = readLog().trimEnd().split("\n");
    console.error(`\n---- the last lines of the log of ${name} (${lines.length} in all)`);
    console.error(lines.slice(-40).join("\n"));
  }
}
