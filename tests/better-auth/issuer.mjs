// A real Better Auth server for the proof: e-mail and password accounts and the jwt plugin.
// It listens on loopback unless told otherwise, keeps everything in memory and sends no telemetry.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { jwt } from "better-auth/plugins";

const DAY = 24 * 60 * 60;

// The private keys in the database are encrypted with this secret, so a restarted issuer
// must have the same one to go on signing with its old keys.
const secret = randomBytes(32).toString("hex");

const emptyDatabase = () => ({ user: [], session: [], account: [], verification: [], jwks: [] });

/**
 * Starts an issuer. Given the port and the database of a stopped one, it takes that one's
 * place: same address, same accounts, same keys. `host` is where it listens, `name` how others call it.
 */
export async function startIssuer({ port = 0, database = emptyDatabase(), host = "127.0.0.1", name = host } = {}) {
  // The port has to be known before Better Auth is set up: its base URL is also the issuer
  // and the audience of the tokens.
  const server = createServer().listen(port, host);
  await once(server, "listening");
  const url = `http://${name}:${server.address().port}`;

  const auth = betterAuth({
    baseURL: url,
    secret,
    database: memoryAdapter(database),
    emailAndPassword: { enabled: true },
    // Better Auth leaves a key that is past its rotation interval in the published set for
    // the grace period, so that tokens signed just before the rotation stay valid.
    plugins: [jwt({ jwks: { rotationInterval: 30 * DAY, gracePeriod: 30 * DAY } })],
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
