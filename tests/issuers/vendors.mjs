// Systems that cannot be run here: what this server says to tokens of the form that their documentation describes. Nothing of
// theirs runs, so their sections say that they were not run.

import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { SignJWT, base64url } from "jose";
import { report, serve } from "./report.mjs";

const HOUR = 3600;

/** One issuer for all: the same set of keys at every address. */
function keyPair(alg) {
  const [kind, options] = {
    EdDSA: ["ed25519", {}],
    ES256: ["ec", { namedCurve: "P-256" }],
    RS256: ["rsa", { modulusLength: 2048 }],
  }[alg];
  return { kid: randomUUID(), ...generateKeyPairSync(kind, options) };
}
const keys = Object.fromEntries(["EdDSA", "ES256", "RS256"].map((alg) => [alg, keyPair(alg)]));
// Not all of them say what a key is for: Entra's have no `alg`.
const body = JSON.stringify({
  keys: Object.values(keys).map(({ kid, publicKey }) => ({ ...publicKey.export({ format: "jwk" }), kid, use: "sig" })),
});
const origin = await serve(
  createServer((_, response) => response.setHeader("content-type", "application/json").end(body)),
);

/** A token of these claims; what is undefined is left out. */
function sign(alg, claims, { header, key, lifetime = HOUR } = {}) {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ iat: now, exp: now + lifetime, ...claims })
    .setProtectedHeader({ alg, ...(key ? {} : { kid: keys[alg].kid }), ...header })
    .sign(key ?? keys[alg].privateKey);
}

/** A case of people with these ids, whose claims are `claims` with their `sub`. */
async function issue({ section, name = "as documented", block, words, ids, alg, claims, options, refused = [], ...more }) {
  const token = (id, changes = {}) => sign(alg, { ...claims(id), ...changes }, options);
  const people = [];
  for (const id of ids) people.push({ id, token: await token(id) });
  for (const refusal of refused) refusal.token ??= await token(ids[0], refusal.changes);
  return { section, name, block, words, origin, people, refused, ...more };
}

const uuids = ["5b8c2c1e-9f2e-4c53-9a53-0f7f5f1d8f10", "a3e0c1d2-7b61-4d0f-8f0e-2f7d3b5c9e21"];
const secret = base64url.encode("0123456789abcdef".repeat(3));

await report({}, [
  await issue({
    section: "Neon Auth",
    words: { DATABASE: "neondb" },
    ids: uuids,
    alg: "EdDSA",
    claims: (sub) => ({ iss: origin, aud: origin, sub, email: "ada@example.com", role: "authenticated" }),
    options: { lifetime: 900 },
    refused: [{ what: "a session token", token: "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4", code: "token-opaque" }],
  }),
  await issue({
    section: "Auth0",
    ids: ["auth0|507f1f77bcf86cd799439011", "google-oauth2|117614620700092979612"],
    alg: "RS256",
    claims: (sub) => ({
      iss: `${origin}/`,
      aud: ["https://tasks.example.com", `${origin}/userinfo`],
      sub,
      azp: "a-client",
      scope: "openid profile",
    }),
    options: { header: { typ: "JWT" }, lifetime: 24 * HOUR },
    also: [
      {
        what: "a machine-to-machine token",
        id: "a-client@clients",
        token: await sign("RS256", {
          iss: `${origin}/`,
          aud: "https://tasks.example.com",
          sub: "a-client@clients",
          gty: "client-credentials",
        }),
      },
    ],
    refused: [{ what: "an ID token", changes: { aud: "a-client" }, code: "token-audience" }],
  }),
  await issue({
    section: "Clerk",
    ids: ["user_2NNEqL2nrIRdJ194ndJqAHwEfxC", "user_2NNEqL2nrIRdJ194ndJqAHwEfxD"],
    alg: "RS256",
    claims: (sub) => ({
      iss: origin,
      sub,
      azp: "https://app.example.com",
      sid: "sess_2NNEqL",
      sts: "active",
      v: 2,
      fva: [7, -1],
      nbf: Math.floor(Date.now() / 1000) - 10,
    }),
    options: { header: { typ: "JWT" }, lifetime: 60 },
    refused: [{ what: "a page of another origin", changes: { azp: "https://elsewhere.example" }, code: "token-audience" }],
  }),
  await issue({
    section: "Keycloak",
    words: { REALM: "shop" },
    ids: uuids,
    alg: "RS256",
    claims: (sub) => ({
      iss: `${origin}/realms/shop`,
      aud: ["tasks", "account"],
      sub,
      typ: "Bearer",
      azp: "web",
      realm_access: { roles: ["offline_access"] },
    }),
    options: { header: { typ: "JWT" }, lifetime: 300 },
    refused: [
      { what: "an ID token", changes: { aud: "web", typ: "ID" }, code: "token-audience" },
      { what: "a token without the scope basic", changes: { sub: undefined }, code: "token-claims" },
      {
        what: "a refresh token",
        token: await sign("HS256", { iss: `${origin}/realms/shop`, aud: `${origin}/realms/shop`, sub: uuids[0], typ: "Refresh" }, { key: Buffer.alloc(64, 7) }),
        code: "token-algorithm",
      },
    ],
  }),
  await issue({
    section: "Supabase",
    name: "signing keys",
    ids: uuids,
    alg: "ES256",
    claims: (sub) => ({
      iss: `${origin}/auth/v1`,
      aud: "authenticated",
      sub,
      role: "authenticated",
      aal: "aal1",
      session_id: randomUUID(),
      email: "ada@example.com",
      phone: "",
      is_anonymous: false,
    }),
    options: { header: { typ: "JWT" } },
    refused: [
      {
        what: "the key anon",
        token: await sign("HS256", { iss: "supabase", ref: "abc", role: "anon" }, { key: Buffer.from(secret) }),
        code: "token-algorithm",
      },
    ],
  }),
  await issue({
    section: "Supabase",
    name: "in a rotation",
    ids: uuids,
    alg: "ES256",
    claims: (sub) => ({ iss: `${origin}/auth/v1`, aud: "authenticated", sub }),
    extra: { JWT_SECRET_PREVIOUS: secret },
    also: [
      {
        what: "a token of the legacy secret",
        id: uuids[0],
        token: await sign("HS256", { iss: `${origin}/auth/v1`, aud: "authenticated", sub: uuids[0] }, { key: Buffer.from(secret) }),
      },
    ],
  }),
  await issue({
    section: "Supabase",
    name: "the legacy secret",
    block: 2,
    words: { LEGACY_JWT_SECRET: secret },
    ids: uuids,
    alg: "HS256",
    claims: (sub) => ({ iss: `${origin}/auth/v1`, aud: "authenticated", sub, role: "authenticated" }),
    options: { header: { typ: "JWT" }, key: Buffer.from(secret) },
    refused: [
      {
        what: "the key anon",
        token: await sign("HS256", { iss: "supabase", ref: "abc", role: "anon" }, { key: Buffer.from(secret) }),
        code: "token-issuer",
      },
    ],
  }),
  await issue({
    section: "Cognito",
    words: { POOL_ID: "eu-central-1_Ab1Cd2Ef3", CLIENT_ID: "1example23456789,3example23456789" },
    ids: uuids,
    alg: "RS256",
    claims: (sub) => ({
      iss: `${origin}/eu-central-1_Ab1Cd2Ef3`,
      client_id: "1example23456789",
      sub,
      token_use: "access",
      username: "ada",
      scope: "aws.cognito.signin.user.admin",
      version: 2,
    }),
    also: [
      {
        what: "another client's",
        id: uuids[1],
        token: await sign("RS256", {
          iss: `${origin}/eu-central-1_Ab1Cd2Ef3`,
          client_id: "3example23456789",
          sub: uuids[1],
          token_use: "access",
        }),
      },
    ],
    refused: [
      { what: "an ID token", changes: { token_use: "id", aud: "1example23456789", client_id: undefined }, code: "token-audience" },
      { what: "a third client's", changes: { client_id: "2example23456789" }, code: "token-audience" },
      { what: "a refresh token", token: ["eyJhbGciOiJSU0EtT0FFUCJ9", "a", "b", "c", "d"].join("."), code: "token-opaque" },
    ],
  }),
  await issue({
    section: "Entra",
    words: { TENANT_ID: "9188040d-6c67-4c5b-b112-36a304b66dad", API_CLIENT_ID: "6e74172b-be56-4843-9ff4-e66a39bb12e3" },
    ids: uuids,
    alg: "RS256",
    claims: (oid) => ({
      iss: `${origin}/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0`,
      aud: "6e74172b-be56-4843-9ff4-e66a39bb12e3",
      oid,
      sub: "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
      tid: "9188040d-6c67-4c5b-b112-36a304b66dad",
      ver: "2.0",
      scp: "tasks",
      // As many groups as an access token may hold.
      groups: Array.from({ length: 200 }, () => randomUUID()),
    }),
    options: { header: { typ: "JWT" }, lifetime: 4500 },
    refused: [
      {
        what: "a token of version 1",
        changes: { iss: "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/", ver: "1.0" },
        code: "token-issuer",
      },
      { what: "an ID token", changes: { aud: "the-front-end" }, code: "token-audience" },
    ],
  }),
  await issue({
    section: "Firebase",
    words: { PROJECT_ID: "tasks-1234" },
    ids: ["kL0mN1oP2qR3sT4uV5wX6yZ7aB89", "aB89kL0mN1oP2qR3sT4uV5wX6yZ7"],
    alg: "RS256",
    claims: (sub) => ({
      iss: "https://securetoken.google.com/tasks-1234",
      aud: "tasks-1234",
      sub,
      user_id: sub,
      auth_time: Math.floor(Date.now() / 1000),
      firebase: { identities: {}, sign_in_provider: "password" },
    }),
    options: { header: { typ: "JWT" } },
    refused: [
      { what: "a session cookie", changes: { iss: "https://session.firebase.google.com/tasks-1234" }, code: "token-issuer" },
    ],
  }),
  await issue({
    section: "WorkOS",
    words: { CLIENT_ID: "client_01HXYZ" },
    ids: ["user_01HBEQKA6K4QJAS93VPE39W1JT", "user_01HBEQKA6K4QJAS93VPE39W1JU"],
    alg: "RS256",
    claims: (sub) => ({
      iss: `${origin}/user_management/client_01HXYZ`,
      sub,
      sid: "session_01HQSXZGF8FHF7A9ZZFCW4387R",
      jti: randomUUID(),
      org_id: "org_01HRDMC6CM357W30QMHMQ96Q0S",
      role: "member",
    }),
    options: { lifetime: 300 },
  }),
]);
