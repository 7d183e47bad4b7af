#!/usr/bin/env bash
# Better Auth signs tokens of two issuers with one key; a slash at the end of a set issuer is in its tokens, and not in its metadata.
#
# Versions: better-auth 1.7.25, @better-auth/oauth-provider 1.7.5, jose 6.2.18 (npm); Node 20. The same with better-auth 1.7.5.
#
# Behaviour: the plugin `jwt` gives a session a JWT (/api/auth/token), whose issuer and audience are the server's origin. The plugin
# `oauthProvider` gives access tokens (RFC 9068) and ID tokens, whose issuer is the origin with the path /api/auth. Both sign with the one
# key of the server, and the metadata (RFC 8414) names the second issuer. A verifier that is made from the metadata refuses the session's
# JWT, and a verifier of the origin refuses the access token. One server cannot take both with one expected issuer. An access token has
# the `typ` at+jwt, and the session's JWT has none.
# The setting `jwt: { jwt: { issuer } }` gives all tokens one issuer. With a slash at its end, the tokens have the slash. The metadata and
# the parameter `iss` of the redirect (RFC 9207) do not have it. Verifiers compare issuers letter by letter (RFC 9068 §4, OpenID Connect
# Core §3.1.3.7), so a verifier that is made from the metadata refuses every token.
#
# What helps: an issuer that is set, without a slash at its end. The audiences stay different: a server that takes both kinds of token
# expects two.
#
# Known: better-auth/better-auth issues 3071 and 5496 (2025, closed) are about the issuer of ID tokens of the older OIDC plugin, which was
# missing, and later the origin. archestra-ai/archestra pull request 7250 (2026) tells that the parameter `iss` loses the slash of the set
# issuer, and that clients then stop. We found nothing about the two issuers of 1.7, or about tokens that keep the slash.
#
# Output seen (ORIGIN is the server's, without a slash; a token is verified by the metadata's issuer and keys):
#   no issuer set: 1 key, metadata: issuer ORIGIN/api/auth, redirect: iss ORIGIN/api/auth
#   no issuer set, session's JWT: iss ORIGIN, aud ORIGIN, no typ: unexpected "iss" claim value
#   no issuer set, access token: iss ORIGIN/api/auth, aud RESOURCE and ORIGIN/api/auth/oauth2/userinfo, typ at+jwt: accepted
#   no issuer set, ID token: iss ORIGIN/api/auth, aud CLIENT, no typ: accepted
#   set to ORIGIN/api/auth: 1 key, metadata: issuer ORIGIN/api/auth, redirect: iss ORIGIN/api/auth
#   set to ORIGIN/api/auth, session's JWT: iss ORIGIN/api/auth, aud ORIGIN, no typ: accepted
#   set to ORIGIN/api/auth, access token: iss ORIGIN/api/auth, aud RESOURCE and ORIGIN/api/auth/oauth2/userinfo, typ at+jwt: accepted
#   set to ORIGIN/api/auth, ID token: iss ORIGIN/api/auth, aud CLIENT, no typ: accepted
#   set to ORIGIN/: 1 key, metadata: issuer ORIGIN, redirect: iss ORIGIN
#   set to ORIGIN/, session's JWT: iss ORIGIN/, aud ORIGIN, no typ: unexpected "iss" claim value
#   set to ORIGIN/, access token: iss ORIGIN/, aud RESOURCE and ORIGIN/api/auth/oauth2/userinfo, typ at+jwt: unexpected "iss" claim value
#   set to ORIGIN/, ID token: iss ORIGIN/, aud CLIENT, no typ: unexpected "iss" claim value
#
# Needs: Node 20 or newer with npm. Takes some seconds.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' >package.json
# @better-auth/oauth-provider 1.7.5 asks for other versions of three small packages than better-auth 1.7.25 brings.
npm install --silent --no-audit --no-fund --ignore-scripts --legacy-peer-deps \
    better-auth@1.7.25 @better-auth/oauth-provider@1.7.5 jose@6.2.18
cat >probe.mjs <<'PROGRAM'
import { createHash, randomBytes } from "node:crypto";

import { oauthProvider } from "@better-auth/oauth-provider";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { jwt } from "better-auth/plugins";
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";

const ORIGIN = "https://auth.example.com";
const RESOURCE = "https://api.example.com";
const redirect_uri = "https://client.example.com/callback";
const secret = () => randomBytes(32).toString("base64url");
const tables = ["user", "session", "account", "verification", "jwks", "oauthClient", "oauthResource", "oauthClientResource"];
tables.push("oauthConsent", "oauthAccessToken", "oauthRefreshToken", "oauthClientAssertion");

async function show(what, issuer) {
  const auth = betterAuth({
    baseURL: ORIGIN,
    secret: secret(),
    database: memoryAdapter(Object.fromEntries(tables.map((table) => [table, []]))),
    emailAndPassword: { enabled: true },
    plugins: [
      jwt({ jwt: { issuer } }),
      oauthProvider({ loginPage: "/login", consentPage: "/consent", resources: [RESOURCE], enforcePerClientResources: false }),
    ],
    telemetry: { enabled: false },
  });
  const ask = (path, { json, form, cookie } = {}) => {
    const headers = { origin: ORIGIN, ...(json && { "content-type": "application/json" }), ...(cookie && { cookie }) };
    const body = json ? JSON.stringify(json) : form && new URLSearchParams(form);
    return auth.handler(new Request(ORIGIN + path, { method: body ? "POST" : "GET", headers, body }));
  };
  const read = async (...request) => (await ask(...request)).json();

  // A person signs up, and gets the session's JWT.
  const signedUp = await ask("/api/auth/sign-up/email", { json: { name: "Ada", email: "ada@example.com", password: secret() } });
  const cookie = signedUp.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
  const { token } = await read("/api/auth/token", { cookie });

  // The person gets an access token and an ID token by the code flow (RFC 6749, 7636, 8707).
  const client = await auth.api.adminCreateOAuthClient({
    body: { redirect_uris: [redirect_uri], token_endpoint_auth_method: "client_secret_post", skip_consent: true },
    headers: { cookie },
  });
  const { client_id, client_secret } = client;
  const code_verifier = secret();
  const authorized = await ask(
    `/api/auth/oauth2/authorize?${new URLSearchParams({
      response_type: "code",
      client_id,
      redirect_uri,
      scope: "openid",
      state: secret(),
      code_challenge: createHash("sha256").update(code_verifier).digest("base64url"),
      code_challenge_method: "S256",
      resource: RESOURCE,
    })}`,
    { cookie },
  );
  const answer = new URL(authorized.headers.get("location")).searchParams;
  const tokens = await read("/api/auth/oauth2/token", {
    form: { grant_type: "authorization_code", code: answer.get("code"), code_verifier, client_id, client_secret, redirect_uri, resource: RESOURCE },
  });

  const keys = await read("/api/auth/jwks");
  const { pathname } = new URL(issuer ?? `${ORIGIN}/api/auth`);
  const metadata = await read(`/.well-known/oauth-authorization-server${pathname.replace(/\/$/, "")}`);
  const names = { [ORIGIN]: "ORIGIN", [RESOURCE]: "RESOURCE", [client_id]: "CLIENT" };
  const short = (text) => Object.entries(names).reduce((rest, [long, name]) => rest.replace(long, name), text);
  console.log(`${what}: ${keys.keys.length} key, metadata: issuer ${short(metadata.issuer)}, redirect: iss ${short(answer.get("iss"))}`);
  for (const [name, text] of Object.entries({ "session's JWT": token, "access token": tokens.access_token, "ID token": tokens.id_token })) {
    const { iss, aud } = decodeJwt(text);
    const { typ } = decodeProtectedHeader(text);
    const verified = jwtVerify(text, createLocalJWKSet(keys), { issuer: metadata.issuer });
    const outcome = await verified.then(() => "accepted", (error) => error.message);
    console.log(`${what}, ${name}: iss ${short(iss)}, aud ${[aud].flat().map(short).join(" and ")}, ${typ ? `typ ${typ}` : "no typ"}: ${outcome}`);
  }
}

await show("no issuer set");
await show("set to ORIGIN/api/auth", `${ORIGIN}/api/auth`);
await show("set to ORIGIN/", `${ORIGIN}/`);
PROGRAM
node probe.mjs >seen
cat seen

if ! diff <(echo "$expected") seen >changed; then
    echo "Better Auth behaves otherwise than recorded (< recorded, > now):"
    cat changed
    exit 1
fi
echo "as recorded"
