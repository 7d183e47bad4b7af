#!/usr/bin/env bash
# MCP's clients take one "429, try again in 3 s" at their first request for the mark of an old server, and keep to the old protocol.
#
# Versions: @modelcontextprotocol/client 2.4.0 (npm); mcp 2.3.0 and fastmcp 4.2.3, each with mcp-types 2.3.0 (PyPI); Node 20, Python 3.11.
#
# Behaviour: a client that negotiates (`mode: "auto"`, which is the default of mcp and fastmcp) sends `server/discover` of the protocol
# 2026-07-28 first. When this fails, it sends `initialize` of 2025-11-25. All three clients do so after a 429, with and without a JSON-RPC
# error in its body; mcp and fastmcp do so after a 503, where the TypeScript client fails to connect. None waits for as long as
# Retry-After says: `initialize` follows at once. A server of both protocols answers it, and the connection stays at 2025-11-25 when the
# time is over. No client writes a warning. Only the version that the client shows tells.
# The specification allows this after a 429. Its matrix (Versioning, Compatibility Matrix) takes a 4xx for the mark of an old server,
# unless the body has an error that it knows. Its text (Streamable HTTP, Backward Compatibility) speaks of a 400 only. Neither page
# mentions 429, 503 or Retry-After.
#
# What helps: a server answers `server/discover` whatever its limits count. A client names 2026-07-28 as its mode
# (`mode: { pin: "2026-07-28" }`, `mode="2026-07-28"`); then a 429 is an error. Or it looks at its version when it has connected.
#
# Known: modelcontextprotocol/typescript-sdk pull request 2564 (2026) made 401, 403 and 5xx at `server/discover` fail; a review of it says
# that 429, 408 and 407 still mean an old server. Issue 1892 and pull request 1965 of it (both open) want Retry-After of a 429 heeded, for
# all requests. We found nothing about this in mcp or fastmcp. A comment in mcp's source says that an outage never decides which protocol
# is spoken; that is so for connections that fail, and not for a 503.
#
# Output seen (a server of both protocols answers a client's first request as named, and all others by 200; Retry-After is 3 s; the tool
# is called 4 s after connecting):
#   TypeScript, after 200: version 2026-07-28; server/discover, tools/call; tool called by 2026-07-28
#   TypeScript, after 429: version 2025-11-25; server/discover, at once initialize; tool called by 2025-11-25
#   TypeScript, after 429 with error: version 2025-11-25; server/discover, at once initialize; tool called by 2025-11-25
#   TypeScript, after 503: SdkHttpError: Version negotiation failed: the server answered the probe with HTTP 503
#   mcp, after 200: version 2026-07-28; server/discover, tools/call; tool called by 2026-07-28
#   mcp, after 429: version 2025-11-25; server/discover, at once initialize; tool called by 2025-11-25
#   mcp, after 429 with error: version 2025-11-25; server/discover, at once initialize; tool called by 2025-11-25
#   mcp, after 503: version 2025-11-25; server/discover, at once initialize; tool called by 2025-11-25
#   fastmcp, after 200: version 2026-07-28; server/discover, tools/call; tool called by 2026-07-28
#   fastmcp, after 429: version 2025-11-25; server/discover, at once initialize; tool called by 2025-11-25
#   fastmcp, after 429 with error: version 2025-11-25; server/discover, at once initialize; tool called by 2025-11-25
#   fastmcp, after 503: version 2025-11-25; server/discover, at once initialize; tool called by 2025-11-25
#   written to stderr: nothing
#
# Needs: Node 20 or newer with npm, Python 3.11 or newer with venv. Takes a minute.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server" || true; rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @modelcontextprotocol/client@2.4.0
for package in mcp fastmcp; do python3 -m venv $package; done
mcp/bin/pip install --quiet --disable-pip-version-check mcp==2.3.0 mcp-types==2.3.0
fastmcp/bin/pip install --quiet --disable-pip-version-check fastmcp==4.2.3 mcp==2.3.0 mcp-types==2.3.0

# A server of both protocols for each path. Its tool tells the first two requests at the path, and the protocol that it is called by.
cat >server.mjs <<'PROGRAM'
import { createServer } from "node:http";

const seen = new Map();
const serverInfo = { name: "busy", version: "1" };
const capabilities = { tools: {} };

createServer(async (request, response) => {
  let text = "";
  for await (const piece of request) text += piece;
  const answer = (status, members, headers) => {
    response.writeHead(status, { ...(members && { "content-type": "application/json" }), ...headers });
    response.end(members && JSON.stringify({ jsonrpc: "2.0", ...members }));
  };
  if (request.method !== "POST") return answer(405);
  const { id, method, params } = JSON.parse(text);
  if (id === undefined) return answer(202);
  const requests = seen.get(request.url) ?? [];
  seen.set(request.url, requests);
  requests.push({ method, at: Date.now() });
  const [, status, withError] = request.url.match(/(\d+)(-with-error)?$/);
  if (requests.length === 1 && status !== "200")
    return answer(Number(status), withError && { id, error: { code: 7, message: "busy" } }, { "retry-after": "3" });

  const modern = params?._meta?.["io.modelcontextprotocol/protocolVersion"] === "2026-07-28";
  const named = modern && { resultType: "complete", _meta: { "io.modelcontextprotocol/serverInfo": serverInfo } };
  const fresh = modern && { ttlMs: 0, cacheScope: "private" };
  const result = (members) => answer(200, { id, result: { ...named, ...members } });
  if (method === "server/discover") return result({ ...fresh, supportedVersions: ["2026-07-28", "2025-11-25"], capabilities });
  if (method === "initialize") return result({ protocolVersion: "2025-11-25", capabilities, serverInfo });
  if (method === "tools/list") return result({ ...fresh, tools: [{ name: "look", inputSchema: { type: "object" } }] });
  if (method !== "tools/call") return answer(404, { id, error: { code: -32601, message: "Method not found" } });
  const [first, second] = requests;
  const atOnce = status !== "200" && second.at - first.at < 2000;
  const story = `${first.method}, ${atOnce ? "at once " : ""}${second.method}`;
  result({ content: [{ type: "text", text: `${story}; tool called by ${request.headers["mcp-protocol-version"]}` }] });
}).listen(0, "127.0.0.1", function () {
  console.log(`http://127.0.0.1:${this.address().port}`);
});
PROGRAM
node server.mjs >address &
server=$!
until test -s address; do sleep 0.1; kill -0 "$server"; done

cat >probe.mjs <<'PROGRAM'
import { setTimeout } from "node:timers/promises";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

async function connect(first) {
  const client = new Client({ name: "probe", version: "1" }, { versionNegotiation: { mode: "auto" } });
  client.onerror = (error) => console.error(error.message);
  try {
    await client.connect(new StreamableHTTPClientTransport(new URL(`${process.argv[2]}/typescript/${first}`)));
    const version = client.getNegotiatedProtocolVersion();
    await setTimeout(4000);
    const { content } = await client.callTool({ name: "look" });
    await client.close();
    return `version ${version}; ${content[0].text}`;
  } catch (error) {
    return `${error.constructor.name}: ${error.message}`;
  }
}

const firsts = process.argv.slice(3);
const outcomes = await Promise.all(firsts.map(connect));
firsts.forEach((first, index) => console.log(`TypeScript, after ${first.replaceAll("-", " ")}: ${outcomes[index]}`));
PROGRAM
cat >probe.py <<'PROGRAM'
import asyncio
import importlib
import sys

package, address, *firsts = sys.argv[1:]
Client = importlib.import_module(package).Client

async def connect(first):
    try:
        async with Client(f"{address}/{package}/{first}") as client:
            version = client.session.protocol_version
            await asyncio.sleep(4)
            result = await client.call_tool("look", {})
            return f"version {version}; {result.content[0].text}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

async def main():
    outcomes = await asyncio.gather(*map(connect, firsts))
    for first, outcome in zip(firsts, outcomes):
        print(f"{package}, after {first.replace('-', ' ')}: {outcome}")

asyncio.run(main())
PROGRAM
firsts=(200 429 429-with-error 503)
{
    node probe.mjs "$(cat address)" "${firsts[@]}"
    mcp/bin/python probe.py mcp "$(cat address)" "${firsts[@]}"
    fastmcp/bin/python probe.py fastmcp "$(cat address)" "${firsts[@]}"
} >seen 2>told
echo "written to stderr: $(test -s told && cat told || echo nothing)" >>seen
cat seen

if ! diff <(echo "$expected") seen >changed; then
    echo "the clients behave otherwise than recorded (< recorded, > now):"
    cat changed
    exit 1
fi
echo "as recorded"
