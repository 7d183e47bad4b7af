#!/usr/bin/env bash
# A client of hey-api with its transformers makes an instant of a calendar date, and sends and shows another day in most of the world.
#
# Versions: @hey-api/openapi-ts 0.99.0, bundled by esbuild 0.25.12 (npm); Node 20.
#
# Behaviour: with the plugin @hey-api/transformers, a member of the format `date` is typed as JavaScript's Date, in requests too. Answers
# are read by `new Date("2028-02-29")`, which is midnight in UTC and so the evening before in America. Requests have no transformer of
# their own: JSON.stringify writes the instant, `2028-02-29T05:00:00.000Z`, which is no `date` any more (RFC 3339 §5.6, full-date), and
# east of Greenwich is that of the day before. A server that holds requests to the schema refuses every one of them; a server that cuts
# the text at the T keeps another day for half of the world.
#
# What helps: a string with a pattern in place of the format, which every generator leaves a string; or `dates: false` of the plugin.
#
# Known: that answers are transformed and requests are not is how it was built (hey-api pull request 670, 2024). That bodies carry an
# instant where the document says a date, we found nowhere. Of openapi-generator's typescript-fetch, issue 12490 (open) tells a shift.
#
# Output seen (29 February 2028 is put in, made as `new Date(2028, 1, 29)`; the server answers the first ten characters):
#   type of the member: Date
#   America/New_York: sent 2028-02-29T05:00:00.000Z, answered 2028-02-29, shown as Mon Feb 28 2028
#   UTC: sent 2028-02-29T00:00:00.000Z, answered 2028-02-29, shown as Tue Feb 29 2028
#   Asia/Tokyo: sent 2028-02-28T15:00:00.000Z, answered 2028-02-28, shown as Mon Feb 28 2028
#
# Needs: Node 20.19 or newer with npm. Takes some seconds.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @hey-api/openapi-ts@0.99.0 typescript@5.9.3 esbuild@0.25.12
cat >api.yaml <<'DOCUMENT'
openapi: 3.1.0
info: { title: Days, version: "1" }
servers: [{ url: "http://localhost" }]
paths:
  /days:
    post:
      operationId: keepDay
      requestBody:
        required: true
        content: { application/json: { schema: { $ref: "#/components/schemas/Day" } } }
      responses:
        "200":
          description: As it was kept.
          content: { application/json: { schema: { $ref: "#/components/schemas/Day" } } }
components:
  schemas:
    Day:
      type: object
      required: [due]
      properties: { due: { type: string, format: date } }
DOCUMENT
cat >generate.mjs <<'PROGRAM'
import { createClient } from "@hey-api/openapi-ts";

await createClient({
  input: "api.yaml",
  output: "client",
  logs: { level: "silent" },
  plugins: ["@hey-api/client-fetch", "@hey-api/transformers", { name: "@hey-api/sdk", transformer: true }],
});
PROGRAM
node generate.mjs
cat >probe.ts <<'PROGRAM'
import { keepDay } from "./client/sdk.gen";

let sent = "";
let answered = "";
const fetch = async (request: RequestInfo | URL) => {
  sent = JSON.parse(await (request as Request).text()).due;
  answered = sent.slice(0, 10);
  return Response.json({ due: answered });
};
const { data } = await keepDay({ body: { due: new Date(2028, 1, 29) }, fetch });
console.log(`${process.env.TZ}: sent ${sent}, answered ${answered}, shown as ${data?.due.toDateString()}`);
PROGRAM
node_modules/.bin/esbuild probe.ts --bundle --format=esm --platform=node --outfile=probe.mjs --log-level=error
{
    sed -n 's/^ *due: \(.*\);$/type of the member: \1/p' client/types.gen.ts
    for zone in America/New_York UTC Asia/Tokyo; do TZ=$zone node probe.mjs; done
} >seen
cat seen

if ! diff <(echo "$expected") seen >changed; then
    echo "hey-api behaves otherwise than recorded (< recorded, > now):"
    cat changed
    exit 1
fi
echo "as recorded"
