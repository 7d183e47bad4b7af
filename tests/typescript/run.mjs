// Holds the code of README.md to the live server: node run.mjs /path/to/tasks-server [library] [part of a story's name]. With --write in
// place of the program it puts the code into README.md.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { binary, start } from "../server.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const libraries = ["tanstack", "rxdb"];

// What people copy is what is run.
const document = readFileSync(join(here, "README.md"), "utf8");
const written = libraries.reduce((text, library) => {
  const code = readFileSync(join(here, `${library}.ts`), "utf8");
  return text.replace(new RegExp(`(<!-- ${library}.ts -->\n\n)\`\`\`ts\n[^]*?\n\`\`\`\n`), (_, head) => `${head}\`\`\`ts\n${code}\`\`\`\n`);
}, document);
if (process.argv[2] === "--write") {
  writeFileSync(join(here, "README.md"), written);
  process.exit(0);
}
assert.equal(document, written, "README.md has other code: node tests/typescript/run.mjs --write");
const copies = readdirSync(join(here, "node_modules"), { recursive: true }).filter((path) => path.endsWith("@tanstack/db/package.json"));
assert.equal(copies.length, 1, `there must be one @tanstack/db: ${copies.join(", ")}`);

// As people install it; what it needs is in package.json.
cpSync(join(here, "../clients/tasks-api-client"), join(here, "node_modules/tasks-api-client"), { recursive: true });
const compiled = spawnSync(join(here, "node_modules/.bin/tsc"), ["-p", here], { stdio: "inherit" });
assert.equal(compiled.status, 0, "tsc");
const { tell } = await import("./build/stories.js");

const program = binary();
const [only, part] = process.argv.slice(3);
const folders = [mkdtempSync(join(tmpdir(), "tasks-offline-"))];
const opened = (folder) => start(program, { CHANGES_POLL_SECONDS: "1" }, folder);
let current = await opened(folders[0]);

/** The server of the stories: it may end, and go on, and go on from a copy. */
const server = {
  url: () => current.url,
  token: (user) => current.run("token", "--sub", user),
  newEpoch: () => void current.run("epoch", "new"),
  backUp: () => {
    const folder = mkdtempSync(join(tmpdir(), "tasks-offline-"));
    folders.push(folder);
    mkdirSync(join(folder, "data"));
    current.run("backup", join(folder, "data/tasks.db"));
    cpSync(join(current.folder, "data/dev-key"), join(folder, "data/dev-key"));
    return async () => {
      await current.stop();
      // Before anybody is served: what is read from then on is told from what was read before.
      execFileSync(program, ["epoch", "new"], { cwd: folder, env: { PATH: process.env.PATH } });
      current = await opened(folder);
    };
  },
  end: async () => {
    await current.stop();
    return async () => void (current = await opened(current.folder));
  },
};

try {
  for (const library of libraries.filter((name) => !only || name === only)) {
    const { open, keepsWork } = await import(`./build/${library}.device.js`);
    await tell(server, library, open, keepsWork, part);
  }
} finally {
  await current.stop().catch(() => {});
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
console.log("offline: every story ends with the server's state on every device");
// Libraries keep timers.
process.exit(0);
