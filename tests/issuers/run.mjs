// Holds tasks-server to what src/sign-in.md says of each sign-in system: `node run.mjs /path/to/tasks-server PYTHON [ISSUER]`.
//
// Every other file beside this is an issuer: a program that starts a real sign-in system on loopback, signs two people in,
// prints on a line of its own what came of it, behind "report: ", and serves its keys until its input ends:
//
//   { "versions": { package: version }, "cases": [{
//       "name":    what is special about these tokens,
//       "section": the section of src/sign-in.md that a user of this system reads, and
//       "block":   which of its blocks of settings, counted from 1,
//       "words":   what the reader writes in place of the document's words, and
//       "origin":  in place of the document's origin,
//       "extra":   settings of which only the text speaks, and "versions", where they are others than the report's,
//       "people":  [{ "id", "token" }, …]: each sees their own tasks, and no other's,
//       "tools":   where these tokens are agents', and go to /mcp: the code by which the operations refuse them,
//       "also":    [{ "what", "id", "token" }, …]: other tokens that are taken, and whose they are,
//       "refused": [{ "what", "token", "code" }, …]: tokens that the system issues for other purposes }] }

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { documented, sections, unused } from "./document.mjs";
import { assertRefused, assertUnauthorized, call, listTasks, showLogs, startServer, stopServer } from "./server.mjs";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const HELPERS = ["run.mjs", "document.mjs", "server.mjs", "report.mjs", "report.py", "better-auth-proof.mjs"];

const REPORT = "report: ";

const python = process.argv[3];
const wanted = process.argv[4];

/** Starts an issuer: what it reported, and how to stop it. What else it says is shown only when it fails. */
async function startIssuer(file) {
  const [program, ...options] = file.endsWith(".py") ? [python, "-B"] : [process.execPath];
  const child = spawn(program, [...options, FOLDER + file], { stdio: ["pipe", "pipe", "pipe"] });
  const exit = once(child, "exit");
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (piece) => (said += piece));
  const lines = createInterface(child.stdout);
  const reported = new Promise((resolve) => {
    lines.on("line", (line) => line.startsWith(REPORT) && resolve(JSON.parse(line.slice(REPORT.length))));
  });
  const report = await Promise.race([reported, exit]);
  assert.ok(report.cases, `${file} ended without a report:\n${said}`);
  const stop = async () => {
    child.stdin.end();
    const [code] = await exit;
    assert.equal(code, 0, `${file} must end well:\n${said}`);
  };
  return { report, stop };
}

/** What a tool answers to an agent with this token. */
async function callTool(server, token, name, args) {
  const message = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } };
  const { status, text, json } = await call(server, "/mcp", token, message);
  assert.equal(status, 200, text);
  return json.result.structuredContent;
}

/** That agents keep the tasks of those whom their tokens stand for, and do nothing else with them. */
async function judgeTools(server, { section, name, people, tools, also = [] }) {
  for (const { id, token } of people) await callTool(server, token, "add_task", { title: `a task of ${id}` });
  for (const { id, token } of people) {
    const { tasks } = await callTool(server, token, "list_tasks", {});
    assert.deepEqual(tasks.map((task) => task.title), [`a task of ${id}`], `${section}, ${name}`);
    await assertRefused(server, token, tools, "an agent's token at the operations");
  }
  for (const { what, token } of also) {
    const { status, text } = await call(server, "/mcp", token, { jsonrpc: "2.0", id: 1, method: "tools/list" });
    assert.equal(status, 401, `${what} at /mcp: ${text}`);
  }
}

async function judge(all, issued) {
  const { name, section, extra, people, tools, also = [], refused = [] } = issued;
  const server = await startServer(`${section}, ${name}`, { ...documented(all, issued), ...extra });

  if (tools) await judgeTools(server, issued);
  else await judgeTasks(server, issued);
  for (const { what, id, token } of also) {
    const { status, text } = await call(server, `/api/${encodeURIComponent(id)}/tasks`, token);
    assert.equal(status, 200, `${what}: ${text}`);
  }
  for (const { what, token, code } of refused) await assertRefused(server, token, code, what);
  if (!tools) await assertSignatureCounts(server, people);
  await stopServer(server);

  const tokens = [...people, ...also, ...refused].flatMap(({ token }) => token.split(".")).filter((part) => part.length > 8);
  for (const part of tokens) assert.ok(!server.readLog().includes(part), `a token of ${section} is in the log`);
  const others = refused.map(({ what, code }) => `${what}: ${code}`).join(", ");
  console.log(`ok  ${section}, ${name}${also.map(({ what }) => `, ${what}`).join("")}${others && `; refused: ${others}`}`);
}

async function judgeTasks(server, { section, name, people }) {
  for (const { id, token } of people) {
    const { status, text, json } = await call(server, "/api/me/tasks", token, { title: `a task of ${id}` });
    assert.equal(status, 201, `${section}, ${name}: ${text}`);
    assert.equal(json.data.user_id, id);
  }
  for (const { id, token } of people) {
    for (const user of ["me", encodeURIComponent(id)]) {
      const { status, text, json } = await call(server, `/api/${user}/tasks`, token);
      assert.equal(status, 200, text);
      assert.deepEqual(json.data.map((task) => task.title), [`a task of ${id}`]);
    }
    for (const other of people.filter((person) => person.id !== id)) {
      const { status, text, json } = await call(server, `/api/${encodeURIComponent(other.id)}/tasks`, token);
      assert.equal(status, 403, text);
      assert.equal(json.code, "user-mismatch");
    }
  }
}

/** One person's claims under the other's signature: a server that took everything would be found here. */
async function assertSignatureCounts(server, [one, other]) {
  const [head, claims] = one.token.split(".");
  const [, , signature] = other.token.split(".");
  assertUnauthorized(await listTasks(server, `${head}.${claims}.${signature}`), "token-signature", "another's signature");
}

const started = performance.now();
try {
  const all = sections();
  const ran = new Map();
  let cases = 0;
  for (const file of readdirSync(FOLDER).filter((name) => /\.(mjs|py)$/.test(name) && !HELPERS.includes(name))) {
    if (wanted && !file.startsWith(wanted)) continue;
    const { report, stop } = await startIssuer(file);
    for (const issued of report.cases) {
      await judge(all, issued);
      ran.set(issued.section, { ...ran.get(issued.section), ...(issued.versions ?? report.versions) });
      cases += 1;
    }
    await stop();
  }
  for (const [section, versions] of ran) {
    const said = Object.fromEntries(all.get(section).run);
    assert.deepEqual(said, versions, `"${section}" of src/sign-in.md names other versions than were run`);
  }
  assert.ok(cases > 0, `no issuer's name begins with ${wanted}`);
  if (!wanted) assert.deepEqual(unused(all), [], "settings of src/sign-in.md that no issuer has tried");
  console.log(`${cases} cases of ${ran.size} sections in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  process.exit(0);
} catch (error) {
  console.error(`FAILED: ${error.stack}`);
  showLogs();
  process.exit(1);
}
