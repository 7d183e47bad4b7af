// Says no when api/openapi.json takes back what api/released.json promised, unless its version says so: a higher major
// version, or before 1.0 a higher minor one.

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const here = import.meta.dirname;
const read = (file) => JSON.parse(readFileSync(file, "utf8"));

/** What a document breaks for those who rely on a released one, a line each; both are files. */
export async function breaks(releasedFile, documentFile) {
  const { stdout } = await promisify(execFile)(
    join(here, "node_modules/.bin/redocly"),
    ["diff", releasedFile, documentFile, `--config=${join(here, "redocly-diff.yaml")}`, "--format=json", "--fail-on=none"],
    { maxBuffer: 2 ** 26, env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_NOTIFICATIONS: "true" } },
  );
  // Where nothing changed, nothing is printed.
  const changes = stdout.trim() ? JSON.parse(stdout).changes : [];
  const major = changes.filter(({ impact }) => impact === "major");
  const lines = major.map(({ path, verdicts }) => `${path}: ${verdicts.map(({ message }) => message).join(" ")}`);
  return [...lines, ...overlooked(read(releasedFile), read(documentFile))];
}

/** What Redocly has no rule for: another default of a parameter, and a header that is no longer always there. */
function* overlooked(released, document) {
  for (const [path, item] of Object.entries(released.paths)) {
    for (const [method, before] of Object.entries(item)) {
      const after = document.paths[path]?.[method];
      for (const { name, schema } of (after && before.parameters) ?? []) {
        const now = after.parameters?.find((parameter) => parameter.name === name);
        if (now && now.schema.default !== schema.default) yield `${method} ${path}: another default of ${name}`;
      }
      for (const [status, { headers }] of Object.entries(after ? before.responses : {})) {
        for (const [name, { required }] of Object.entries(headers ?? {})) {
          const now = after.responses[status]?.headers?.[name];
          if (required && now && !now.required) yield `${method} ${path}: ${status} no longer always has ${name}`;
        }
      }
    }
  }
}

/** Whether a version may break what another promised. */
export function mayBreak(released, version) {
  const [from, to] = [released, version].map((text) => text.split(".").map(Number));
  return to[0] > from[0] || (to[0] === 0 && from[0] === 0 && to[1] > from[1]);
}

if (process.argv[1] === import.meta.filename) {
  const [releasedFile, documentFile] = process.argv.slice(2).map((file) => resolve(file));
  const [released, version] = [releasedFile, documentFile].map((file) => read(file).info.version);
  const lines = await breaks(releasedFile, documentFile);
  for (const line of lines) console.error(line);
  console.log(`breaking changes since ${released}: ${lines.length}; the version is ${version}`);
  if (lines.length > 0 && !mayBreak(released, version)) {
    console.error("raise the version in Cargo.toml, or keep what was promised");
    process.exit(1);
  }
}
