// OpenAuth with a provider of its own kind, which signs in whoever says who they are.

import { getRequestListener } from "@hono/node-server";
import { issuer } from "@openauthjs/openauth";
import { MemoryStorage } from "@openauthjs/openauth/storage/memory";
import { createSubjects } from "@openauthjs/openauth/subject";
import { createServer } from "node:http";
import { z } from "zod";
import { report, serve, versions } from "./report.mjs";

const CLIENT = "a-client";
const CALLBACK = "http://localhost/callback";

const app = issuer({
  subjects: createSubjects({ user: z.object({ id: z.string() }) }),
  storage: MemoryStorage(),
  providers: {
    trusting: {
      type: "trusting",
      init(routes, context) {
        routes.get("/authorize", (request) => context.success(request, { name: request.req.header("x-name") }));
      },
    },
  },
  // The third argument is the user's id in tokens. Without it, that is made of the properties.
  success: (context, { name }) => context.subject("user", { id: name }, { subject: name }),
});
const origin = await serve(createServer(getRequestListener(app.fetch)));

async function signIn(who) {
  const query = { client_id: CLIENT, redirect_uri: CALLBACK, response_type: "code", provider: "trusting" };
  const jar = new Map();
  let next = `${origin}/authorize?${new URLSearchParams(query)}`;
  while (next.startsWith(origin)) {
    const headers = { "x-name": who, cookie: [...jar].map((pair) => pair.join("=")).join("; ") };
    const answer = await fetch(next, { redirect: "manual", headers });
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(";");
      jar.set(pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1));
    }
    if (!answer.headers.has("location")) throw new Error(await answer.text());
    next = new URL(answer.headers.get("location"), origin).href;
  }
  const code = new URL(next).searchParams.get("code");
  const form = { grant_type: "authorization_code", client_id: CLIENT, redirect_uri: CALLBACK, code };
  const answer = await fetch(`${origin}/token`, { method: "POST", body: new URLSearchParams(form) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

const people = [];
let tokens;
for (const who of ["alice", "bob"]) {
  tokens = await signIn(who);
  people.push({ id: who, token: tokens.access_token });
}
await report(versions("@openauthjs/openauth"), [
  {
    name: "ES256",
    section: "OpenAuth",
    words: { CLIENT_ID: CLIENT },
    origin,
    people,
    refused: [{ what: "the refresh token", token: tokens.refresh_token, code: "token-malformed" }],
  },
]);
