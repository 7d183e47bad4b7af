#!/usr/bin/env bash
# MCP's Python client drops an error response that has no `id`; its TypeScript client reads the error of a 400, and not that of a 404.
#
# Versions: @modelcontextprotocol/client 2.4.0 (npm); mcp 2.3.0 with mcp-types 2.3.0 (PyPI); Node 20, Python 3.11.
#
# Behaviour: in the Model Context Protocol 2026-07-28, the `id` of an error response is optional (Base Protocol, Error Responses). A
# server leaves it out when it could not read the request's. The body of a 403 for a wrong Origin "MAY comprise a JSON-RPC error response
# that has no `id`" (Streamable HTTP). An unknown method MUST be answered by a 404 with the code -32601. JSON-RPC 2.0 has `null` for an
# id that was not read; the schema of 2026-07-28 does not.
# The Python client's class for errors requires the member and takes `null`. Without the member, code and message are lost, and the
# status too: the user sees -32603 "Server returned an error response". For a 404 the user sees -32601 "Not Found", as if the server did
# not know the method.
# The TypeScript client reads the error of a 400 that has the request's `id`. It reads that of no 403, 404 or 429, with or without an
# `id`. There the user gets an SdkHttpError with the status. Its code is CLIENT_HTTP_NOT_IMPLEMENTED, whatever the server's code is. The
# JSON-RPC error is text, at the end of the message and in `error.data.text`. That is so for the 404 with -32601, too.
#
# What helps: a server writes the request's `id` into each error, whatever the status, and `null` where it could not read it, for the
# Python client. Its message says all that a person needs. A user of the TypeScript client looks at `error.status` and parses
# `error.data.text`.
#
# Known: modelcontextprotocol/python-sdk pull request 2056 (2026) let the class take `null`; the member stayed required. Issue 1212 (open)
# and pull requests 2176 and 2199 (closed) tell that this client drops status and body; since then it reads bodies that have an `id`.
# modelcontextprotocol/typescript-sdk pull request 1281 (closed) argues for `null` and against a missing `id`. Pull request 2573 (closed)
# describes the SdkHttpError, for `initialize`. rust-sdk issue 724 (closed) is about such a loss in the Rust client. We found nothing
# about a missing `id` in the Python client, and nothing about the 404 with -32601 in the TypeScript client.
#
# Output seen (BODY is the body of the answer; its error has the code 7 and the message "refused", where no other code is named):
#   Python, 200: read: fine
#   Python, 403 without id: MCPError, code -32603, message: Server returned an error response
#   Python, 403 with id null: MCPError, code 7, message: refused
#   Python, 403 with the id: MCPError, code 7, message: refused
#   Python, 429 without id: MCPError, code -32603, message: Server returned an error response
#   Python, 429 with id null: MCPError, code 7, message: refused
#   Python, 429 with the id: MCPError, code 7, message: refused
#   Python, 404 without id: MCPError, code -32601, message: Not Found
#   Python, 400 without id: MCPError, code -32603, message: Server returned an error response
#   Python, 400 with the id: MCPError, code 7, message: refused
#   Python, 404 with the id, -32601: MCPError, code -32601, message: Method not found
#   TypeScript, 200: read: fine
#   TypeScript, 403 without id: SdkHttpError, code CLIENT_HTTP_NOT_IMPLEMENTED, status 403, message: Error POSTing to endpoint: BODY
#   TypeScript, 403 with id null: SdkHttpError, code CLIENT_HTTP_NOT_IMPLEMENTED, status 403, message: Error POSTing to endpoint: BODY
#   TypeScript, 403 with the id: SdkHttpError, code CLIENT_HTTP_NOT_IMPLEMENTED, status 403, message: Error POSTing to endpoint: BODY
#   TypeScript, 429 without id: SdkHttpError, code CLIENT_HTTP_NOT_IMPLEMENTED, status 429, message: Error POSTing to endpoint: BODY
#   TypeScript, 429 with id null: SdkHttpError, code CLIENT_HTTP_NOT_IMPLEMENTED, status 429, message: Error POSTing to endpoint: BODY
#   TypeScript, 429 with the id: SdkHttpError, code CLIENT_HTTP_NOT_IMPLEMENTED, status 429, message: Error POSTing to endpoint: BODY
#   TypeScript, 404 without id: SdkHttpError, code CLIENT_HTTP_NOT_IMPLEMENTED, status 404, message: Error POSTing to endpoint: BODY
#   TypeScript, 400 without id: SdkHttpError, code CLIENT_HTTP_NOT_IMPLEMENTED, status 400, message: Error POSTing to endpoint: BODY
#   TypeScript, 400 with the id: ProtocolError, code 7, message: refused
#   TypeScript, 404 with the id, -32601: SdkHttpError, code CLIENT_HTTP_NOT_IMPLEMENTED, status 404, message: Error POSTing to endpoint: BODY
#
# Needs: Node 20 or newer with npm, Python 3.11 or newer with venv. Takes half a minute.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server" || true; rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @modelcontextprotocol/client@2.4.0
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check mcp==2.3.0 mcp-types==2.3.0

# A server of 2026-07-28 without prompts, whose tools are named after what they answer.
cat >server.mjs <<'PROGRAM'
import { createServer } from "node:http";

const unread = Symbol();
const refused = { code: 7, message: "refused" };
const cases = {
  "403-without-id": [403, unread, refused],
  "403-with-id-null": [403, null, refused],
  "403-with-the-id": [403, undefined, refused],
  "429-without-id": [429, unread, refused],
  "429-with-id-null": [429, null, refused],
  "429-with-the-id": [429, undefined, refused],
  "404-without-id": [404, unread, refused],
  "400-without-id": [400, unread, refused],
  "400-with-the-id": [400, undefined, refused],
};
const named = { resultType: "complete", _meta: { "io.modelcontextprotocol/serverInfo": { name: "refusing", version: "1" } } };
const fresh = { ttlMs: 0, cacheScope: "private" };

createServer(async (request, response) => {
  let text = "";
  for await (const piece of request) text += piece;
  const answer = (status, members) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", ...members }));
  };
  if (request.method !== "POST") return response.writeHead(405).end();
  const { id, method, params } = JSON.parse(text);
  if (method === "server/discover")
    return answer(200, { id, result: { ...named, ...fresh, supportedVersions: ["2026-07-28"], capabilities: { tools: {} } } });
  if (method === "tools/list") {
    const tools = ["200", ...Object.keys(cases)].map((name) => ({ name, inputSchema: { type: "object" } }));
    return answer(200, { id, result: { ...named, ...fresh, tools } });
  }
  if (method !== "tools/call") return answer(404, { id, error: { code: -32601, message: "Method not found" } });
  if (params.name === "200") return answer(200, { id, result: { ...named, content: [{ type: "text", text: "fine" }] } });
  const [status, own, error] = cases[params.name];
  answer(status, own === unread ? { error } : { id: own === null ? null : id, error });
}).listen(0, "127.0.0.1", function () {
  console.log(`http://127.0.0.1:${this.address().port}/mcp`);
});
PROGRAM
node server.mjs >address &
server=$!
until test -s address; do sleep 0.1; kill -0 "$server"; done

cat >probe.py <<'PROGRAM'
import asyncio
import sys

from mcp import Client

async def main():
    async with Client(sys.argv[1]) as client:
        async def show(what, request):
            try:
                result = await request
                print(f"Python, {what}: read: {result.content[0].text}")
            except Exception as error:
                print(f"Python, {what}: {type(error).__name__}, code {error.error.code}, message: {error.error.message}")

        for tool in (await client.list_tools()).tools:
            await show(tool.name.replace("-", " "), client.call_tool(tool.name, {}))
        await show("404 with the id, -32601", client.list_prompts())

asyncio.run(main())
PROGRAM
cat >probe.mjs <<'PROGRAM'
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const client = new Client({ name: "probe", version: "1" }, { versionNegotiation: { mode: "auto" } });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
async function show(what, request) {
  try {
    const result = await request();
    console.log(`TypeScript, ${what}: read: ${result.content[0].text}`);
  } catch (error) {
    const { code, status, data } = error;
    const message = error.message.replace(data?.text, "BODY");
    console.log(`TypeScript, ${what}: ${error.constructor.name}, code ${code}, ${status ? `status ${status}, ` : ""}message: ${message}`);
  }
}
for (const { name } of (await client.listTools()).tools) await show(name.replaceAll("-", " "), () => client.callTool({ name }));
await show("404 with the id, -32601", () => client.request({ method: "prompts/list" }));
await client.close();
PROGRAM
{
    python/bin/python probe.py "$(cat address)"
    node probe.mjs "$(cat address)"
} >seen
cat seen

if ! diff <(echo "$expected") seen >changed; then
    echo "the clients behave otherwise than recorded (< recorded, > now):"
    cat changed
    exit 1
fi
echo "as recorded"
