// The settings of src/sign-in.md, as a reader takes them from there: the `sh` blocks below a heading, with the reader's own
// values in place of the document's.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const FILE = new URL("../../src/sign-in.md", import.meta.url);

/** The heading below which each system has a section. */
const SYSTEMS = "## System by system";

/** What stands for a value of the reader's: CLIENT_ID, REALM, AUTH-HOST. */
const PLACEHOLDER = /[A-Z][A-Z0-9]+(?:[_-][A-Z0-9]+)*/;

/** The sections by their titles: what is said to have been run, and the `sh` blocks as `[name, value]` pairs. */
export function sections() {
  const text = readFileSync(FILE, "utf8");
  const [, below] = text.split(`\n${SYSTEMS}\n`);
  assert.ok(below, `src/sign-in.md has no "${SYSTEMS}"`);
  const [systems] = below.split(/^## /m);
  return new Map(
    systems
      .split(/^### /m)
      .slice(1)
      .map((section) => {
        const title = section.slice(0, section.indexOf("\n"));
        const blocks = [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => settings(title, block));
        const [, code] = section.match(/^```ts\n(.*?)^```$/ms) ?? [];
        return [title, { run: runs(section), blocks, code, used: new Set() }];
      }),
  );
}

/** The TypeScript of a section. */
export const codeOf = (title) => sections().get(title).code;

/** "Run with better-auth 1.7.25 and jose 6.0.0." as pairs of package and version. */
function runs(section) {
  const [, list] = section.match(/^Run with (.*)\.$/m) ?? [];
  return list ? list.split(/, | and /).map((item) => item.split(" ")) : [];
}

function settings(title, block) {
  const lines = block.split("\n").filter((line) => line && !line.startsWith("#"));
  return lines.map((line) => {
    const [, name, value] = line.match(/^([A-Z_]+)=(\S+)$/) ?? [];
    assert.ok(name, `"${title}" has a line that is no setting: ${line}`);
    return [name, value];
  });
}

/**
 * The settings of a section's block with `words` in place of what stands there for a value of the reader's, and with `origin`,
 * where the issuer of this run is, in place of the one that publishes the keys there, or is the issuer where none are published.
 */
export function documented(all, { section, block = 1, words = {}, origin }) {
  const found = all.get(section);
  const pairs = found?.blocks[block - 1];
  assert.ok(pairs, `src/sign-in.md has no block ${block} in "${section}"`);
  found.used.add(block);

  const values = Object.fromEntries(pairs);
  const [theirs] = (values.JWKS_URL ?? values.JWT_ISSUER ?? "").match(/^https?:\/\/[^/]+/) ?? [];
  const move = (value) => (origin && theirs && value.startsWith(theirs) ? origin + value.slice(theirs.length) : value);
  const fill = (value) => value.replace(anyOf(Object.keys(words)), (word) => words[word]);

  const missing = new Set(Object.keys(words));
  for (const [name, value] of pairs) {
    for (const word of Object.keys(words)) if (value.includes(word)) missing.delete(word);
    const [left] = move(value).replace(origin, "").replace(anyOf(Object.keys(words)), "").match(PLACEHOLDER) ?? [];
    assert.equal(left, undefined, `nothing is known for ${left} of ${name} in "${section}"`);
  }
  assert.deepEqual([...missing], [], `block ${block} of "${section}" does not have them`);
  return Object.fromEntries(pairs.map(([name, value]) => [name, fill(move(value))]));
}

/** Finds any of these texts, of two that begin alike the longer one. */
function anyOf(texts) {
  const longestFirst = texts.toSorted((one, other) => other.length - one.length);
  const escaped = longestFirst.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(escaped.join("|") || "$^", "g");
}

/** The blocks that no issuer has used: they could be wrong without anybody noticing. */
export function unused(all) {
  return [...all].flatMap(([title, { blocks, used }]) =>
    blocks.map((_, index) => index + 1).filter((block) => !used.has(block)).map((block) => `block ${block} of "${title}"`),
  );
}
