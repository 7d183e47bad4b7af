// Better Auth as the authorization server of agents: a client registers itself, somebody signs in and consents, and the client gets a token
// for /mcp (OAuth 2.1, PKCE, RFC 8707), beside the tokens that the front end has.

import { createHash, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, get } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { jwt } from "better-auth/plugins";
import { oauthProvider } from "@better-auth/oauth-provider";
import { callIssuer, signUp } from "./better-auth.mjs";
import { report, versions } from "./report.mjs";

const RESOURCE = "https://tasks.example.com/mcp";
const CALLBACK = "http://127.0.0.1:8976/callback";

const TABLES = [
  ...["user", "session", "account", "verification", "jwks", "oauthClient", "oauthResource", "oauthClientResource"],
  ...["oauthConsent", "oauthAccessToken", "oauthRefreshToken", "oauthClientAssertion"],
];

const server = createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const url = `http://127.0.0.1:${server.address().port}`;
const auth = betterAuth({
  baseURL: url,
  secret: randomBytes(32).toString("hex"),
  database: memoryAdapter(Object.fromEntries(TABLES.map((table) => [table, []]))),
  emailAndPassword: { enabled: true },
  plugins: [
    jwt(),
    oauthProvider({
      loginPage: "/login",
      consentPage: "/consent",
      resources: [RESOURCE],
      clientRegistrationDefaultResources: [RESOURCE],
      allowDynamicClientRegistration: true,
      allowUnauthenticatedClientRegistration: true,
    }),
  ],
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
});
server.on("request", toNodeHandler(auth));
const issuer = { url, auth };

const post = (path, json, headers = {}) =>
  callIssuer(issuer, path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(json) });

/** What a browser does: `fetch` says of itself that it is no navigation, and is answered otherwise. */
async function browse(address, cookie) {
  const [response] = await once(get(address, { agent: false, headers: { "sec-fetch-mode": "navigate", accept: "text/html", cookie } }), "response");
  response.resume();
  return response.headers.location;
}

/** The token that a client gets for this person, who is signed in and consents. */
async function grant(person, client, { scope, resource }) {
  const verifier = randomBytes(32).toString("base64url");
  const query = {
    response_type: "code",
    client_id: client,
    redirect_uri: CALLBACK,
    state: randomUUID(),
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    scope,
    ...(resource && { resource }),
  };
  let location = await browse(`${url}/api/auth/oauth2/authorize?${new URLSearchParams(query)}`, person.cookie);
  const asked = new URL(location, url);
  if (asked.pathname === "/consent") {
    const { json } = await post("/oauth2/consent", { accept: true, oauth_query: asked.search.slice(1) }, { cookie: person.cookie });
    location = json.url;
  }
  const code = new URL(location).searchParams.get("code");
  const form = { grant_type: "authorization_code", client_id: client, code, code_verifier: verifier, redirect_uri: CALLBACK };
  const body = new URLSearchParams({ ...form, ...(resource && { resource }) });
  const { json } = await callIssuer(issuer, "/oauth2/token", { method: "POST", body });
  return json.access_token;
}

const people = [];
for (const [name, email] of [
  ["Ada Lovelace", "ada@analytical.example"],
  ["Grace Hopper", "grace@compiler.example"],
]) {
  people.push(await signUp(issuer, name, email));
}
const registered = await fetch(`${url}/api/auth/oauth2/register`, {
  method: "POST",
  headers: { "content-type": "application/json", connection: "close" },
  body: JSON.stringify({
    client_name: "an agent's program",
    application_type: "native",
    redirect_uris: [CALLBACK],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  }),
});
const { client_id } = await registered.json();

const cases = [];
for (const [name, scope] of [
  ["an agent's token", "offline_access"],
  ["an agent's token with openid", "openid profile"],
]) {
  const agents = [];
  for (const person of people) agents.push({ id: person.id, token: await grant(person, client_id, { scope, resource: RESOURCE }) });
  const opaque = await grant(people[0], client_id, { scope });
  cases.push({
    name,
    section: "Better Auth, for agents",
    origin: url,
    tools: "token-issuer",
    people: agents,
    also: people.map(({ id, token }) => ({ what: "the front end's token", id, token })),
    refused: [{ what: "a token without a resource", token: opaque, code: "token-opaque" }],
  });
}
await report(versions("better-auth", "@better-auth/oauth-provider"), cases);
