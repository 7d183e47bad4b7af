// A real Better Auth server: e-mail and password accounts and the jwt plugin.
// It listens on loopback unless told otherwise, keeps everything in memory and sends no telemetry.
// As a program it is the issuer for run.mjs; better-auth-proof.mjs and tests/deploy/issuer.Dockerfile start it themselves.

import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { jwt } from "better-auth/plugins";

const DAY = 24 * 60 * 60;

// The private keys in the database are encrypted with this secret, so a restarted issuer
// must have the same one to go on signing with its old keys.
const SECRET = randomBytes(32).toString("hex");

const emptyDatabase = () => ({ user: [], session: [], account: [], verification: [], jwks: [] });

/**
 * Starts an issuer. Given the port and the database of a stopped one, it takes that one's
 * place: same address, same accounts, same keys. `host` is where it listens, `name` how others call it, `algorithm` what
 * it signs with, and `session` its settings of sessions.
 */
export async function startIssuer({
  port = 0,
  database = emptyDatabase(),
  host = "127.0.0.1",
  name = host,
  algorithm = "EdDSA",
  session,
} = {}) {
  // The port has to be known before Better Auth is set up: its base URL is also the issuer
  // and the audience of the tokens.
  const server = createServer().listen(port, host);
  await once(server, "listening");
  const url = `http://${name}:${server.address().port}`;

  const auth = betterAuth({
    baseURL: url,
    secret: SECRET,
    session,
    database: memoryAdapter(database),
    emailAndPassword: { enabled: true },
    // Better Auth leaves a key that is past its rotation interval in the published set for
    // the grace period, so that tokens signed just before the rotation stay valid.
    plugins: [
      jwt({ jwks: { rotationInterval: 30 * DAY, gracePeriod: 30 * DAY, keyPairConfig: { alg: algorithm } } }),
    ],
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
  });

  let keySetRequests = 0;
  const handle = toNodeHandler(auth);
  server.on("request", (request, response) => {
    if (request.url.split("?")[0] === "/api/auth/jwks") keySetRequests += 1;
    handle(request, response);
  });

  return {
    url,
    auth,
    port: server.address().port,
    database,
    keySetUrl: `${url}/api/auth/jwks`,

    /** How often the key set has been asked for since this issuer was started. */
    get keySetRequests() {
      return keySetRequests;
    },

    /** Signs any claims with the current key, through the plugin's own server-side call. */
    async signToken(claims) {
      const { token } = await auth.api.signJWT({ body: { payload: claims } });
      return token;
    },

    /**
     * Brings the end of the rotation interval forward to now. The rest is Better Auth's own
     * rotation: the next token makes it create a key, and it still publishes the old one.
     */
    async rotateKey() {
      const { adapter } = await auth.$context;
      for (const { id } of await adapter.findMany({ model: "jwks" })) {
        await adapter.update({
          model: "jwks",
          where: [{ field: "id", value: id }],
          update: { expiresAt: new Date() },
        });
      }
    },

    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

/** Calls Better Auth as a page of its own origin does, on a connection of its own, so that none is left when it stops. */
export async function callIssuer(issuer, path, { headers, ...options } = {}) {
  const response = await fetch(`${issuer.url}/api/auth${path}`, {
    ...options,
    headers: { origin: issuer.url, connection: "close", ...headers },
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`Better Auth answered ${path} with: ${text}`);
  return { headers: response.headers, json: JSON.parse(text) };
}

/** Signs somebody up: who they are, with their cookies and a token. */
export async function signUp(issuer, name, email, more) {
  const { headers, json } = await callIssuer(issuer, "/sign-up/email", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name, email, password: randomUUID(), ...more }),
  });
  const cookies = headers.getSetCookie().map((line) => line.split(";")[0]);
  const person = { id: json.user.id, name, email, cookies, cookie: cookies.join("; "), sessionToken: json.token };
  person.token = await newToken(issuer, person);
  return person;
}

export async function newToken(issuer, person) {
  const { json } = await callIssuer(issuer, "/token", { headers: { cookie: person.cookie } });
  return json.token;
}

// ---- the issuer for run.mjs ---------------------------------------------------------------

const PEOPLE = [
  ["Ada Lovelace", "ada@analytical.example"],
  ["Grace Hopper", "grace@compiler.example"],
];

/** People of an issuer, and what of theirs is no token for others. */
async function issue(options, more) {
  const issuer = await startIssuer(options);
  const people = [];
  for (const [name, email] of PEOPLE) people.push(await signUp(issuer, name, email));
  const refused = [{ what: "the session token", token: people[0].sessionToken, code: "token-opaque" }];
  return { name: options.algorithm ?? "EdDSA", section: "Better Auth", origin: issuer.url, people, refused, ...(await more?.(issuer, people)) };
}

/** Somebody whose picture is part of their record, and so of their token. */
async function picture(issuer, people) {
  const image = `data:image/png;base64,${"A".repeat(16 * 1024)}`;
  const { token } = await signUp(issuer, "Mary Somerville", "mary@connexion.example", { image });
  const session = { what: "the session token", token: people[0].sessionToken, code: "token-opaque" };
  return { refused: [session, { what: "a token with a picture in it", token, code: "token-too-long" }] };
}

/** The route of the section on a shared secret, as it stands there, and what it answers to people. */
async function secretRoute(issuer, people) {
  const { codeOf } = await import("./document.mjs");
  const secret = randomBytes(32).toString("hex");
  process.env.JWT_SECRET = secret;
  globalThis.auth = issuer.auth;
  const code = codeOf("Better Auth, with a shared secret")
    .replace('import { auth } from "@/lib/auth";', "const { auth } = globalThis;")
    .replace('"jose"', JSON.stringify(import.meta.resolve("jose")))
    .replace("request: Request", "request");
  const { GET } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  for (const person of people) {
    const answer = await GET(new Request("http://127.0.0.1/", { headers: { cookie: person.cookie } }));
    person.token = (await answer.json()).token;
  }
  return { section: "Better Auth, with a shared secret", name: "HS256", origin: undefined, words: { AT_LEAST_32_RANDOM_BYTES: secret } };
}

/** The same with Better Auth's own secret, which signs a cookie that looks like a token, too. */
async function ownSecret(issuer, people) {
  const cookie = people[0].cookies.find((pair) => pair.startsWith("better-auth.session_data=")).split("=")[1];
  const { SignJWT } = await import("jose");
  for (const person of people) {
    person.token = await new SignJWT()
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setSubject(person.id)
      .setIssuer("https://app.example.com")
      .setAudience("tasks")
      .setExpirationTime("15m")
      .sign(new TextEncoder().encode(SECRET));
  }
  return {
    section: "Better Auth, with a shared secret",
    name: "BETTER_AUTH_SECRET",
    origin: undefined,
    words: { AT_LEAST_32_RANDOM_BYTES: SECRET },
    refused: [{ what: "the cookie of session.cookieCache", token: cookie, code: "token-issuer" }],
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { report, versions } = await import("./report.mjs");
  const cookieCache = { enabled: true, strategy: "jwt" };
  const cases = [
    await issue({}, picture),
    await issue({ name: "localhost" }, () => ({ name: "on one machine", block: 2 })),
    await issue({}, secretRoute),
    await issue({ session: { cookieCache } }, ownSecret),
  ];
  for (const algorithm of ["ES256", "ES512", "RS256", "PS256"]) cases.push(await issue({ algorithm }));
  for (const issued of cases) {
    issued.people = issued.people.map(({ id, token }) => ({ id, token }));
    if (issued.section !== "Better Auth") issued.versions = versions("better-auth", "jose");
  }
  await report(versions("better-auth"), cases);
}
