// oidc-provider, the certified server for Node: access tokens for a resource (RFC 8707), signed with whatever it signs with.

import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import Provider from "oidc-provider";
import { report, serve, versions } from "./report.mjs";

export const CLIENT = "a-client";
export const SECRET = "0123456789abcdef".repeat(4);
const RESOURCE = "https://tasks.example.com";

const jwk = (kind, options, alg) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" }),
  alg,
  use: "sig",
  kid: randomBytes(8).toString("hex"),
});
const keys = [
  jwk("rsa", { modulusLength: 2048 }, "RS256"),
  jwk("rsa", { modulusLength: 2048 }, "PS256"),
  jwk("ec", { namedCurve: "P-256" }, "ES256"),
  jwk("ec", { namedCurve: "P-521" }, "ES512"),
  jwk("ed25519", {}, "EdDSA"),
];

/**
 * Starts a provider whose access tokens for the resource are signed with this algorithm. Whoever is named in `login_hint` is
 * signed in and agrees to everything.
 */
export async function startProvider(algorithm, redirect = "https://app.example.com/callback") {
  let provider;
  const server = createServer(async (request, response) => {
    if (!request.url.startsWith("/interaction/")) return provider.callback()(request, response);
    const { params } = await provider.interactionDetails(request, response);
    await provider.interactionFinished(request, response, { login: { accountId: params.login_hint ?? "alice" }, consent: {} });
  });
  const origin = await serve(server);
  provider = new Provider(origin, {
    clients: [
      {
        client_id: CLIENT,
        client_secret: SECRET,
        redirect_uris: [redirect],
        grant_types: ["authorization_code", "refresh_token", "client_credentials"],
        token_endpoint_auth_method: "client_secret_post",
      },
    ],
    jwks: { keys },
    cookies: { keys: [randomBytes(16).toString("hex")] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: () => true,
    enabledJWA: { requestObjectSigningAlgValues: [], idTokenSigningAlgValues: ["RS256"] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "tasks",
          audience: "tasks",
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: algorithm } },
        }),
      },
    },
    async loadExistingGrant({ oidc }) {
      const grant = new oidc.provider.Grant({ accountId: oidc.session.accountId, clientId: oidc.client.clientId });
      grant.addOIDCScope("openid offline_access");
      grant.addResourceScope(RESOURCE, "tasks");
      await grant.save();
      return grant;
    },
  });
  return { origin, resource: RESOURCE };
}

/** Asks the token endpoint. */
async function ask(origin, form) {
  const body = new URLSearchParams({ client_id: CLIENT, client_secret: SECRET, ...form });
  const answer = await fetch(`${origin}/token`, { method: "POST", body });
  const tokens = await answer.json();
  if (!answer.ok) throw new Error(JSON.stringify(tokens));
  return tokens;
}

/** What a browser does: follows redirects and keeps cookies until it is sent to the app with a code. */
async function signIn(origin, who, more) {
  const verifier = randomBytes(32).toString("base64url");
  const query = new URLSearchParams({
    client_id: CLIENT,
    response_type: "code",
    scope: "openid offline_access tasks",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    login_hint: who,
    ...more,
  });
  const jar = new Map();
  let next = `${origin}/auth?${query}`;
  while (next.startsWith(origin)) {
    const cookie = [...jar].map((pair) => pair.join("=")).join("; ");
    const answer = await fetch(next, { redirect: "manual", headers: { cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [name, value] = line.split(";")[0].split("=");
      if (value) jar.set(name, value);
      else jar.delete(name);
    }
    if (!answer.headers.has("location")) throw new Error(await answer.text());
    next = new URL(answer.headers.get("location"), origin).href;
  }
  const { code, error_description: error } = Object.fromEntries(new URL(next).searchParams);
  if (!code) throw new Error(error);
  const redirect_uri = "https://app.example.com/callback";
  return ask(origin, { grant_type: "authorization_code", code, code_verifier: verifier, redirect_uri });
}

async function issue(algorithm) {
  const { origin, resource } = await startProvider(algorithm);
  const people = [];
  let tokens;
  for (const who of ["alice", "bob"]) {
    tokens = await signIn(origin, who, { resource });
    people.push({ id: who, token: tokens.access_token });
  }
  const renewed = await ask(origin, { grant_type: "refresh_token", refresh_token: tokens.refresh_token, resource });
  const machine = await ask(origin, { grant_type: "client_credentials", scope: "tasks", resource });
  const plain = await signIn(origin, "bob", { scope: "openid" });
  return {
    name: algorithm,
    section: "oidc-provider",
    origin,
    people,
    also: [
      { what: "a renewed token", id: "bob", token: renewed.access_token },
      { what: "a client of its own", id: CLIENT, token: machine.access_token },
    ],
    refused: [
      { what: "the ID token", token: tokens.id_token, code: "token-audience" },
      { what: "the refresh token", token: tokens.refresh_token, code: "token-opaque" },
      { what: "an access token without a resource", token: plain.access_token, code: "token-opaque" },
    ],
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const cases = [];
  for (const { alg } of keys) cases.push(await issue(alg));
  await report(versions("oidc-provider"), cases);
}
