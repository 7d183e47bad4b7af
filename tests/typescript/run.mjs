// Generates three TypeScript clients from api/openapi.json, compiles them strictly, and uses each against a live server.
// Run it with `npm ci` and then `node run.mjs /path/to/tasks-server` (Node 20.19 or newer; two of the generators ask for
// 22.18, and work all the same). `--write` as its argument only
// writes the committed types anew.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, start } from "../server.mjs";

const here = import.meta.dirname;
const generated = join(here, "generated");
const types = join(here, "client/schema.d.ts");

function run(command, args, options = {}) {
  execFileSync(command, args, { cwd: here, stdio: ["ignore", "inherit", "inherit"], ...options });
}
const tool = (name, args, options) => run(join(here, "node_modules/.bin", name), args, options);
const json = (path) => JSON.parse(readFileSync(join(here, path), "utf8"));

function generateTypes(output) {
  const quiet = { stdio: ["ignore", "ignore", "inherit"] };
  const names = ["--root-types", "--root-types-no-schema-prefix"];
  tool("openapi-typescript", ["../../api/openapi.json", ...names, "--output", output], quiet);
}

/** The samples of the reference page, each in a scope of its own. */
async function samples(url) {
  const page = await (await fetch(`${url}/docs/reference`)).text();
  const found = [...page.matchAll(/<pre class="typescript"[^>]*><code>(.*?)<\/code>/gs)].map(([, text]) =>
    text.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&"),
  );
  const [beginning, ...requests] = found;
  const operations = Object.values(json("../../api/openapi.json").paths).flatMap((item) => Object.keys(item));
  if (requests.length !== operations.length) fail("the reference page has not a sample for each operation");
  return [
    'const token = "";',
    beginning.replace("./tasks.js", "./schema.js"),
    ...requests.map((request) => `{\n${request}\n}`),
  ].join("\n\n");
}

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

if (process.argv[2] === "--write") {
  generateTypes(types);
  process.exit(0);
}

rmSync(generated, { recursive: true, force: true });
mkdirSync(generated);
generateTypes(join(generated, "schema.d.ts"));
if (readFileSync(join(generated, "schema.d.ts"), "utf8") !== readFileSync(types, "utf8")) {
  fail("tests/typescript/client/schema.d.ts is stale: run `just types` and review the difference");
}
if (json("client/package.json").version !== json("../../api/openapi.json").info.version) {
  fail("tests/typescript/client/package.json has another version than the contract");
}

// The package as its users get it.
run("npm", ["pack", "--silent", "--pack-destination", generated, "./client"]);
writeFileSync(join(generated, "package.json"), '{ "private": true, "type": "module" }\n');
const { name, version } = json("client/package.json");
run("npm", ["install", "--loglevel=error", "--no-audit", "--no-fund", `./${name}-${version}.tgz`], { cwd: generated });

const server = await start(binary());
try {
  const env = { ...process.env, TASKS_URL: server.url, TASKS_TOKEN: server.token };
  tool("openapi-ts", [], { env, stdio: ["ignore", "ignore", "inherit"] });
  tool("orval", [], { env, stdio: ["ignore", "ignore", "inherit"] });
  const programs = ["story", "hey", "orval"];
  for (const program of programs) copyFileSync(join(here, `${program}.ts`), join(generated, `${program}.ts`));
  writeFileSync(join(generated, "samples.ts"), await samples(server.url));
  tool("tsc", ["--project", "tsconfig.json"]);
  tool("tsc", ["--project", "tsconfig.hey.json"]);
  for (const program of programs) run("node", [join(generated, `${program}.js`)], { env });
} finally {
  await server.stop();
}
