// What one document takes back of what another promised, and whether its version says so.

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual, promisify } from "node:util";

const here = import.meta.dirname;

export const read = (file) => JSON.parse(readFileSync(file, "utf8"));

/** What a document breaks for those who rely on a released one, a line each; both are files. */
export async function breaks(releasedFile, documentFile) {
  const { stdout } = await promisify(execFile)(
    join(here, "node_modules/.bin/redocly"),
    ["diff", releasedFile, documentFile, `--config=${join(here, "redocly-diff.yaml")}`, "--format=json", "--fail-on=none"],
    { maxBuffer: 2 ** 26, env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_NOTIFICATIONS: "true" } },
  );
  const [released, document] = [releasedFile, documentFile].map(read);
  // Where nothing changed, nothing is printed.
  if (!stdout.trim() && !isDeepStrictEqual(bare(released), bare(document))) throw new Error("redocly diff said nothing");
  const changes = stdout.trim() ? JSON.parse(stdout).changes : [];
  const major = changes.filter(({ impact }) => impact === "major");
  const lines = major.map(({ path, verdicts }) => `${path}: ${verdicts.map(({ message }) => message).join(" ")}`);
  return [...lines, ...overlooked(released, document)];
}

/** A document without its prose and examples. */
function bare(value) {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(bare);
  const members = Object.entries(value).filter(([name]) => !["description", "summary", "example", "examples"].includes(name));
  return Object.fromEntries(members.map(([name, member]) => [name, bare(member)]));
}

/**
 * What Redocly has no rule for: another default of a parameter, a header that is no longer always there, and new values
 * of enums, which it is told to let pass: what may grow is any text, with examples.
 */
function* overlooked(released, document) {
  for (const [name, { enum: before }] of Object.entries(released.components.schemas)) {
    const added = document.components.schemas[name]?.enum?.filter((value) => before && !before.includes(value)) ?? [];
    if (added.length > 0) yield `${name} has new values: ${added.join(", ")}`;
  }
  for (const [path, item] of Object.entries(released.paths)) {
    for (const [method, before] of Object.entries(item)) {
      const after = document.paths[path]?.[method];
      for (const { name, in: place, schema } of (after && before.parameters) ?? []) {
        const now = after.parameters?.find((parameter) => parameter.name === name && parameter.in === place);
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
