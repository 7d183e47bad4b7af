// Proves that tasks-server accepts the tokens of a real Better Auth server, and only those.
// Run it with `npm ci` and then `node better-auth-proof.mjs /path/to/tasks-server` (Linux, Node 20 or newer).

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { callIssuer, newToken, signUp, startIssuer } from "./better-auth.mjs";
import {
  assertAccepted,
  assertRefused,
  assertUnauthorized,
  call,
  listTasks,
  servers,
  showLogs,
  startServer,
  stopServer,
} from "./server.mjs";

// Because of unknown keys the server asks for the key set this often at once, and then once in this time.
const REFETCHES = 5;
const REFETCH_SECONDS = 30;

const FLOOD_REQUESTS = 100_000;
const WARM_UP_REQUESTS = 5_000;
const FLOOD_CONNECTIONS = 32;
const MAX_GROWTH_MIB = 8;

const started = performance.now();
const secondsSince = (start) => (performance.now() - start) / 1000;

let proven = 0;
function ok(claim) {
  proven += 1;
  console.log(`ok  ${claim}`);
}

// ---- Better Auth --------------------------------------------------------------------------

async function publishedKids(issuer) {
  const { json } = await callIssuer(issuer, "/jwks");
  return json.keys.map((key) => key.kid);
}

const base64url = (value) => Buffer.from(value).toString("base64url");
const decodePart = (token, index) => JSON.parse(Buffer.from(token.split(".")[index], "base64url"));
const kidOf = (token) => decodePart(token, 0).kid;
const claimsOf = (token) => decodePart(token, 1);

// ---- the flood ----------------------------------------------------------------------------

/** A token that looks right in every part, under a key that nobody has. */
function forgeToken(issuer) {
  const header = { alg: "EdDSA", kid: randomBytes(16).toString("hex") };
  const claims = {
    sub: randomUUID(),
    iss: issuer.url,
    aud: issuer.url,
    exp: Math.floor(Date.now() / 1000) + 900,
  };
  const parts = [JSON.stringify(header), JSON.stringify(claims), randomBytes(64)];
  return parts.map(base64url).join(".");
}

function memoryMib({ child }) {
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  return Number(status.match(/^VmRSS:\s+(\d+) kB/m)[1]) / 1024;
}

const count = (tally, key) => (tally[key] = (tally[key] ?? 0) + 1);

/**
 * Opens a connection and returns a function that sends a token on it and gives the outcome as
 * a short text. It speaks HTTP by itself, because the clients of Node cost more time for a
 * request than the server does.
 */
function openConnection(server) {
  const { hostname, port, host } = new URL(server.url);
  const socket = connect(port, hostname).setNoDelay().setEncoding("latin1");
  let received = "";
  let pending;

  socket.on("data", (chunk) => {
    received += chunk;
    const headEnd = received.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const length = received.match(/^content-length: *(\d+)/im)?.[1];
    if (!length) return socket.destroy(new Error(`no Content-Length in: ${received}`));
    if (received.length < headEnd + 4 + Number(length)) return;
    const [, status] = received.split(" ", 2);
    const code = received.slice(headEnd).match(/"code": *"([^"]*)"/)?.[1];
    received = "";
    pending.resolve(code ? `${status} ${code}` : status);
  });
  socket.on("error", (error) => pending?.reject(error));
  socket.on("close", () => pending?.reject(new Error("the server closed a connection")));

  const send = (token) =>
    new Promise((resolve, reject) => {
      pending = { resolve, reject };
      socket.write(
        `GET /api/me/tasks HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`,
      );
    });
  return { send, close: () => socket.destroy() };
}

async function flood(server, issuer, requests) {
  const connections = Array.from({ length: FLOOD_CONNECTIONS }, () => openConnection(server));
  const tally = {};
  let left = requests;
  const sendAll = async ({ send }) => {
    while (left > 0) {
      left -= 1;
      count(tally, await send(forgeToken(issuer)));
    }
  };
  try {
    await Promise.all(connections.map(sendAll));
  } finally {
    for (const connection of connections) connection.close();
  }
  return tally;
}

/** Makes ten requests a second until it is told to stop, whether or not they are answered. */
function startGoodUser(server, token) {
  const tally = {};
  const requests = [];
  let slowest = 0;
  const send = async () => {
    const start = performance.now();
    const answer = await listTasks(server, token).catch((error) => ({ status: String(error) }));
    count(tally, answer.status);
    slowest = Math.max(slowest, performance.now() - start);
  };
  const timer = setInterval(() => requests.push(send()), 100);
  return async () => {
    clearInterval(timer);
    await Promise.all(requests);
    return { tally, slowest };
  };
}

// ---- the claims ---------------------------------------------------------------------------

async function provePeople(server, ada, grace) {
  for (const [person, other] of [[ada, grace], [grace, ada]]) {
    const titles = [`first of ${person.id}`, `second of ${person.id}`];
    for (const title of titles) {
      const { status, text, json } = await call(server, "/api/me/tasks", person.token, { title });
      assert.equal(status, 201, text);
      assert.equal(json.data.user_id, person.id);
    }

    const strangers = `/api/${other.id}/tasks`;
    for (const body of [undefined, { title: "in the wrong list" }]) {
      const { status, text, json } = await call(server, strangers, person.token, body);
      assert.equal(status, 403, text);
      assert.equal(json.code, "user-mismatch");
    }
    person.titles = titles;
  }
  // Only now, when both have tasks and have tried each other's list, can the lists be judged.
  for (const person of [ada, grace]) {
    for (const user of ["me", person.id]) {
      const { status, text, json } = await call(server, `/api/${user}/tasks`, person.token);
      assert.equal(status, 200, text);
      assert.deepEqual(json.data.map((task) => task.title).sort(), person.titles);
      for (const task of json.data) assert.equal(task.user_id, person.id);
    }
  }
  ok("the tokens of two people open their own tasks; user_id is Better Auth's user id");
  ok("each list shows its owner's tasks only; another person's path is 403 user-mismatch");
}

async function proveRefusals(server, issuer, ada) {
  await assertRefused(server, ada.sessionToken, "token-opaque");
  const [, cookieValue] = ada.cookie.split("=", 2);
  await assertRefused(server, decodeURIComponent(cookieValue), "token-opaque");
  ok("the session token, bare or as in the cookie, is 401 token-opaque");

  // The same claims, signed anew by the real issuer, are accepted. So every refusal below is
  // due to the one thing that it changes.
  const claims = claimsOf(ada.token);
  await assertAccepted(server, await issuer.signToken(claims), "claims signed anew");

  const hourAgo = Math.floor(Date.now() / 1000) - 3600;
  const expired = await issuer.signToken({ ...claims, iat: hourAgo - 900, exp: hourAgo });
  await assertRefused(server, expired, "token-expired");
  ok("a token of the real issuer that has expired is 401 token-expired");

  const impostor = await startIssuer();
  try {
    const unknownKey = await impostor.signToken(claims);
    assert.notEqual(kidOf(unknownKey), kidOf(ada.token));
    assert.deepEqual(claimsOf(unknownKey), claims);
    await assertRefused(server, unknownKey, "token-key-unknown");
    ok("the same claims signed by another Better Auth are 401 token-key-unknown");

    // The impostor's database is ours, so its key can take the name of the real one.
    impostor.database.jwks[0].id = kidOf(ada.token);
    const sameKid = await impostor.signToken(claims);
    assert.deepEqual(decodePart(sameKid, 0), decodePart(ada.token, 0));
    await assertRefused(server, sameKid, "token-signature");
    ok("signed by another Better Auth under the real key id they are 401 token-signature");
  } finally {
    await impostor.stop();
  }

  const elsewhere = "https://elsewhere.example";
  const otherIssuer = await issuer.signToken({ ...claims, iss: elsewhere });
  await assertRefused(server, otherIssuer, "token-issuer");
  const otherAudience = await issuer.signToken({ ...claims, aud: elsewhere });
  await assertRefused(server, otherAudience, "token-audience");
  ok("a token with another issuer or audience is 401 token-issuer or token-audience");
}

async function proveSettings(settings, ada) {
  const elsewhere = "https://elsewhere.example";
  for (const [setting, code] of [
    ["JWT_AUDIENCE", "token-audience"],
    ["JWT_ISSUER", "token-issuer"],
  ]) {
    const server = await startServer(code, { ...settings, [setting]: elsewhere });
    await assertRefused(server, ada.token, code);
    await stopServer(server);
  }
  ok("servers set to another audience or issuer refuse a token that is good here");
}

async function proveFlood(server, issuer, ada) {
  const fetchesBefore = issuer.keySetRequests;
  const begin = performance.now();
  const warmUp = await flood(server, issuer, WARM_UP_REQUESTS);
  const memoryBefore = memoryMib(server);

  const stopGoodUser = startGoodUser(server, ada.token);
  const floodBegin = performance.now();
  const tally = await flood(server, issuer, FLOOD_REQUESTS);
  const seconds = secondsSince(floodBegin);
  const memoryAfter = memoryMib(server);
  const good = await stopGoodUser();

  const fetches = issuer.keySetRequests - fetchesBefore;
  const fetchesAllowed = REFETCHES + Math.ceil(secondsSince(begin) / REFETCH_SECONDS);
  const growth = memoryAfter - memoryBefore;

  assert.deepEqual(warmUp, { "401 token-key-unknown": WARM_UP_REQUESTS });
  assert.deepEqual(tally, { "401 token-key-unknown": FLOOD_REQUESTS });
  const rate = Math.round(FLOOD_REQUESTS / seconds);
  ok(`flood: ${FLOOD_REQUESTS} forged tokens in ${seconds.toFixed(1)} s (${rate}/s), all 401`);

  const goodTally = JSON.stringify(good.tally);
  assert.deepEqual(Object.keys(good.tally), ["200"], `good requests: ${goodTally}`);
  const goodRate = good.tally[200] / seconds;
  assert.ok(goodRate > 5, `only ${goodRate.toFixed(1)} good requests a second were made`);
  const slowest = Math.round(good.slowest);
  ok(`flood: ${good.tally[200]} requests of a good user, all 200, the slowest took ${slowest} ms`);

  assert.ok(fetches <= fetchesAllowed, `${fetches} key set fetches, ${fetchesAllowed} allowed`);
  ok(`flood: key set fetches seen by the issuer: ${fetches} (allowed: ${fetchesAllowed})`);

  const memory = `${memoryBefore.toFixed(1)} MiB before, ${memoryAfter.toFixed(1)} MiB after`;
  assert.ok(growth <= MAX_GROWTH_MIB, `the server grew by ${growth.toFixed(1)} MiB: ${memory}`);
  ok(`flood: the server's memory was ${memory} (growth allowed: ${MAX_GROWTH_MIB} MiB)`);
}

/** Rotates the key: what is signed with the new one must work within the limit, and the old tokens all the while. */
async function proveRotation(server, issuer, person, old, limit, when) {
  await issuer.rotateKey();
  const token = await newToken(issuer, person);
  const kids = new Set([token, ...old].map(kidOf));
  assert.ok(!old.map(kidOf).includes(kidOf(token)), "a rotation must bring another key id");
  assert.deepEqual((await publishedKids(issuer)).sort(), [...kids].sort());

  const begin = performance.now();
  for (;;) {
    const answer = await listTasks(server, token);
    if (answer.status === 200) break;
    assertUnauthorized(answer, "token-key-unknown");
    for (const known of old) await assertAccepted(server, known, "an old token during the rotation");
    assert.ok(secondsSince(begin) < limit, `the new key was not known after ${limit} s`);
    await sleep(200);
  }
  ok(`rotation ${when}: a token with the new key works after ${secondsSince(begin).toFixed(1)} s`);

  for (const known of old) await assertAccepted(server, known, "an old token after the rotation");
  ok(`rotation ${when}: tokens with the old keys, which are still published, keep working`);
  return token;
}

async function proveOutage(server, issuer, tokens, settings) {
  await issuer.stop();
  await assert.rejects(fetch(issuer.keySetUrl), "the issuer must be gone");
  for (const token of tokens) await assertAccepted(server, token, "just after the issuer went");

  const fresh = await startServer("fresh", settings);
  for (const token of tokens) {
    const { status, headers, text } = await listTasks(fresh, token);
    assert.equal(status, 503, text);
    assert.match(headers.get("retry-after") ?? "", /^[1-9]\d*$/, "503 must have a Retry-After");
  }
  ok("outage: a server that never saw the key set answers 503 with Retry-After");

  await sleep(1000);
  for (const token of tokens) await assertAccepted(server, token, "while the issuer is down");
  ok("outage: tokens with the old and the new key keep working while the issuer is down");

  const again = await startIssuer({ port: issuer.port, database: issuer.database });
  try {
    const begin = performance.now();
    for (;;) {
      const { status, text } = await listTasks(fresh, tokens[0]);
      if (status === 200) break;
      assert.equal(status, 503, text);
      assert.ok(secondsSince(begin) < 10, "still 503 ten seconds after the issuer came back");
      await sleep(250);
    }
    const seconds = secondsSince(begin).toFixed(1);
    for (const token of tokens) await assertAccepted(fresh, token, "after the outage");
    ok(`outage: with the issuer back, the same tokens work there after ${seconds} s`);
  } finally {
    await again.stop();
  }
}

function proveSilence(people, tokens) {
  const secrets = [
    ...people.flatMap(({ name, email }) => [name.split(" ")[1], email.split("@")[1]]),
    ...people.flatMap(({ cookie, sessionToken }) => [cookie, sessionToken]),
    ...tokens.flatMap((token) => token.split(".")),
    // The two parts of the forged tokens begin like this.
    base64url('{"alg"'),
    base64url('{"sub"'),
  ];
  for (const { name, readLog } of servers) {
    const log = readLog();
    // A server that logs nothing would prove nothing.
    assert.match(log, /^\{.*\/tasks/m, `${name} has logged no request`);
    const lower = log.toLowerCase();
    for (const secret of secrets) {
      assert.ok(!lower.includes(secret.toLowerCase()), `the log of ${name} has "${secret}"`);
    }
  }
  ok("no token, e-mail address or name is in any server's log");
}

async function prove() {
  const issuer = await startIssuer();
  const settings = {
    JWKS_URL: issuer.keySetUrl,
    JWT_ISSUER: issuer.url,
    JWT_AUDIENCE: issuer.url,
  };
  const ada = await signUp(issuer, "Ada Lovelace", "ada@analytical.example");
  const grace = await signUp(issuer, "Grace Hopper", "grace@compiler.example");
  const server = await startServer("main", settings);

  await provePeople(server, ada, grace);
  await proveRefusals(server, issuer, ada);
  await proveSettings(settings, ada);
  const tokens = [ada.token, grace.token];
  // The refusals have just had the set fetched for a key that nobody has.
  tokens.push(await proveRotation(server, issuer, ada, tokens, 1, "after an unknown key"));
  await proveFlood(server, issuer, ada);
  tokens.push(await proveRotation(server, issuer, ada, tokens, REFETCH_SECONDS + 1, "after the flood"));
  await proveOutage(server, issuer, tokens, settings);
  for (const running of servers) if (running.child.exitCode === null) await stopServer(running);
  proveSilence([ada, grace], tokens);
}

try {
  await prove();
  console.log(`${proven} claims proven in ${secondsSince(started).toFixed(0)} s`);
  process.exit(0);
} catch (error) {
  console.error(`FAILED after ${proven} claims: ${error.stack}`);
  showLogs();
  process.exit(1);
}
