// The official client in TypeScript, as people write it: `@modelcontextprotocol/client`, which speaks the revision that it is told to.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { serve } from "./lines.mjs";

const MODES = { modern: { pin: "2026-07-28" }, legacy: "legacy", auto: "auto" };

await serve(async ({ url, token, era }) => {
  const client = new Client({ name: "tasks-agents", version: "1.0.0" }, { versionNegotiation: { mode: MODES[era] } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } }));
  return {
    version: client.getNegotiatedProtocolVersion(),
    instructions: client.getInstructions(),
    tools: async () => (await client.listTools()).tools,
    call: (name, args) => client.callTool({ name, arguments: args }),
    close: () => client.close(),
  };
});
