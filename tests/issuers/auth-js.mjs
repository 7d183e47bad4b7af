// Auth.js: the cookie that it keeps is of no use elsewhere; the access token of the provider behind it is. That provider is
// oidc-provider here.

import { Auth } from "@auth/core";
import { encode } from "@auth/core/jwt";
import { encode as encodeNextAuth } from "next-auth/jwt";
import { codeOf } from "./document.mjs";
import { CLIENT, SECRET, startProvider } from "./oidc-provider.mjs";
import { report, versions } from "./report.mjs";

const APP = "http://localhost:3000";
const CALLBACK = `${APP}/auth/callback/login`;
const COOKIE = "authjs.session-token";
const secret = "fedcba9876543210".repeat(4);

const { origin, resource } = await startProvider("RS256", CALLBACK);

// As they stand in the section.
const { callbacks } = new Function(`return { ${codeOf("Auth.js")} }`)();

const config = {
  secret,
  basePath: "/auth",
  trustHost: true,
  providers: [
    {
      id: "login",
      name: "login",
      type: "oidc",
      issuer: origin,
      clientId: CLIENT,
      clientSecret: SECRET,
      client: { token_endpoint_auth_method: "client_secret_post" },
      authorization: { params: { scope: "openid offline_access tasks", resource } },
    },
  ],
  callbacks,
};

/** A browser: keeps cookies, of the app and of the provider, and follows redirects between them. */
class Browser {
  #jars = new Map();

  async send(url, options = {}) {
    const { origin: place } = new URL(url);
    const jar = this.#jars.get(place) ?? new Map();
    this.#jars.set(place, jar);
    const headers = { cookie: [...jar].map((pair) => pair.join("=")).join("; "), ...options.headers };
    const request = new Request(url, { redirect: "manual", ...options, headers });
    const answer = place === APP ? await Auth(request, config) : await fetch(request);
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(";");
      const at = pair.indexOf("=");
      jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    const to = answer.headers.get("location");
    return to && to !== `${APP}/` && to !== APP ? this.send(new URL(to, url).href) : answer;
  }

  cookie(name) {
    return this.#jars.get(APP).get(name);
  }
}

const people = [];
const refused = [];
for (const who of ["alice", "bob"]) {
  const browser = new Browser();
  const { csrfToken } = await (await browser.send(`${APP}/auth/csrf`)).json();
  await browser.send(`${APP}/auth/signin/login?login_hint=${who}`, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({ csrfToken, callbackUrl: APP }),
  });
  const session = await (await browser.send(`${APP}/auth/session`)).json();
  people.push({ id: who, token: session.access_token });
  if (who === "bob") refused.push({ what: "its cookie", token: browser.cookie(COOKIE), code: "token-opaque" });
}
const token = { sub: "bob" };
refused.push(
  { what: "its cookie, made by hand", token: await encode({ token, secret, salt: COOKIE }), code: "token-opaque" },
  { what: "next-auth's cookie", token: await encodeNextAuth({ token, secret }), code: "token-opaque" },
);
await report(versions("@auth/core", "next-auth"), [
  { name: "the provider's access token", section: "Auth.js", origin, people, refused },
]);
