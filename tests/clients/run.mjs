// Generates clients from api/openapi.json, compiles each under its strictest mode, and drives each through one story on the
// live server: `node run.mjs [--all] [--only NAME] BINARY`, after `npm ci` (Node 20.19 or newer; some of the generators ask for
// 22.18, and work all the same). `--all` takes those that need minutes too. What needs a toolchain that is not there is left
// out, and says so; with REQUIRE_CLIENTS=1 it is an error. `node run.mjs --write` only writes the committed types anew.

import { execFile } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { parseArgs, promisify } from "node:util";
import { start } from "../server.mjs";
import { clients } from "./clients.mjs";
import { later } from "./later.mjs";

const here = import.meta.dirname;
const generated = join(here, "generated");
const target = resolve(here, "../../target/clients");

const path = [join(here, "node_modules/.bin"), join(target, "python/bin"), process.env.PATH].join(delimiter);
/** Runs a program; what it prints is shown where it fails. */
async function run([command, ...args], env = {}, cwd = here) {
  try {
    return await promisify(execFile)(command, args, {
      cwd,
      env: { ...process.env, PATH: path, ...env },
      maxBuffer: 2 ** 26,
      // One that waits for what never comes is ended.
      timeout: 10 * 60_000,
    });
  } catch (failure) {
    throw new Error(`${[command, ...args].join(" ")}\n${failure.stdout ?? failure}${failure.stderr ?? ""}`);
  }
}
const text = (name) => readFile(join(here, name), "utf8");
const json = async (name) => JSON.parse(await text(name));
function hold(holds, fault) {
  if (!holds) throw new Error(fault);
}

/** What each language needs, how its clients are compiled, and how a program of theirs is run. */
const languages = {
  typescript: {
    needs: ["node", "--version"],
    async compile(clients, { url }) {
      await cp(join(here, "typescript"), generated, { recursive: true, filter: (name) => !/config/.test(name) });
      if (clients.some(({ programs }) => programs.includes("package"))) await buildPackage();
      if (clients.some(({ programs }) => programs.includes("samples")))
        await writeFile(join(generated, "samples.ts"), await samples(url));
      await inPairs(clients, async ({ name, programs, loose = {} }) => {
        const project = join(generated, `tsconfig.${name.replace(/\W+/g, "-")}.json`);
        const files = programs.map((program) => `${program}.ts`);
        await writeFile(
          project,
          JSON.stringify({ extends: "../typescript/tsconfig.json", compilerOptions: loose, files }),
        );
        await run(["node_modules/typescript-7/bin/tsc", "--project", project]);
      });
    },
    run: (program, env) => program === "samples" || run(["node", join(generated, `${program}.js`)], env),
  },
  python: {
    needs: ["python3", "-m", "venv", "--help"],
    env: {
      PYTHONPATH: ["python", "openapi-python-client", "datamodel"].map((name) => join(generated, name)).join(delimiter),
      PYTHONDONTWRITEBYTECODE: "1",
    },
    async compile(clients) {
      const files = clients.flatMap(({ programs }) => programs).map((program) => `python/${program}.py`);
      const mypy = ["mypy", "--config-file", "python/mypy.ini", "--cache-dir", join(target, "mypy")];
      await run([...mypy, ...files], { MYPYPATH: this.env.PYTHONPATH });
    },
    run(program, env) {
      return run(["python", `python/${program}.py`], { ...env, ...this.env });
    },
  },
  go: {
    needs: ["go", "version"],
    env: { GOCACHE: join(target, "go"), GOFLAGS: "-mod=mod", GOPROXY: "off", GOTOOLCHAIN: "local" },
    async compile() {
      await cp(join(here, "go"), join(generated, "go/story"), { recursive: true });
      await run(["go", "vet", ".", "./story"], this.env, join(generated, "go"));
    },
    run(program, env) {
      return run(["go", "run", "./story"], { ...env, ...this.env }, join(generated, "go"));
    },
  },
  rust: {
    needs: ["cargo", "--version"],
    env: { CARGO_TARGET_DIR: join(target, "rust"), RUSTFLAGS: "-D warnings" },
    compile() {
      return run(["cargo", "build", "--locked", "--manifest-path", "rust/Cargo.toml"], this.env);
    },
    run: (program, env) => run([join(target, "rust/debug/story")], env),
  },
  testers: {
    needs: ["node", "--version"],
    compile: () =>
      run(["npm", "ci", "--loglevel=error", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", "testers"]),
    run: (program, env) =>
      program === "schemathesis" ? schemathesis(env) : run(["node", `testers/${program}.mjs`], env),
  },
};

/** Installs a list of Python's packages in an environment of its own. */
async function install(list, environment) {
  await run(["python3", "-m", "venv", environment]);
  await run([join(environment, "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "-r", list]);
}

/** Schemathesis without hooks, whose failures are held against the list for testers. */
async function schemathesis({ TASKS_SERVER: url, TASKS_TOKEN: token }) {
  const python = resolve(target, "../contract-tools/python");
  await install("../contract/requirements.txt", python);
  const events = join(generated, "events.ndjson");
  // In a folder of its own: it leaves files where it runs.
  const st = [
    join(python, "bin/st"),
    "run",
    resolve(here, "../../api/openapi.json"),
    "--url",
    url,
    "-H",
    `Authorization: Bearer ${token}`,
  ];
  const failed = await run(
    [...st, "--seed", "1", "--report", "ndjson", "--report-ndjson-path", events],
    {},
    generated,
  ).catch((fault) => fault);
  hold(!(failed instanceof Error) || /Schema|failures in/.test(failed.message), failed.message);
  return run(["python3", "testers/schemathesis.py", "../../api/README.md", events]);
}

/** Does this for all, two at a time. */
async function inPairs(all, work) {
  const rest = [...all];
  const worker = async () => {
    for (let next; (next = rest.shift());) await work(next);
  };
  await Promise.all([worker(), worker()]);
}

/** The package with the committed types, as its users get it. */
async function buildPackage() {
  const types = "tasks-api-client/schema.d.ts";
  const isFresh = (await text("generated/schema.d.ts")) === (await text(types));
  hold(isFresh, `tests/clients/${types} is stale: run \`just types\` and review the difference`);
  const { name, version } = await json("tasks-api-client/package.json");
  const { info } = await json("../../api/openapi.json");
  hold(version === info.version, "tests/clients/tasks-api-client/package.json has another version than the contract");
  await run(["npm", "pack", "--silent", "--pack-destination", generated, "./tasks-api-client"]);
  await run(
    ["npm", "install", "--loglevel=error", "--no-audit", "--no-fund", `./${name}-${version}.tgz`],
    {},
    generated,
  );
}

/** The samples of the reference page, each in a scope of its own. */
async function samples(url) {
  const page = await (await fetch(`${url}/docs/reference`)).text();
  const found = [...page.matchAll(/<pre class="typescript"[^>]*><code>(.*?)<\/code>/gs)].map(([, text]) =>
    text.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&"),
  );
  const [beginning, ...requests] = found;
  const operations = Object.values((await json("../../api/openapi.json")).paths).flatMap((item) => Object.keys(item));
  hold(requests.length === operations.length, "the reference page has not a sample for each operation");
  const scopes = requests.map((request) => `{\n${request}\n}`);
  return ['const token = "";', beginning.replace("./tasks.js", "./schema.js"), ...scopes].join("\n\n");
}

/** The versions that are pinned in a list of Python's packages, by name. */
const requirements = async (list) =>
  Object.fromEntries([...(await text(list)).matchAll(/^([^=\s]+)==(\S+)$/gm)].map((found) => found.slice(1)));
const inPython = {
  ...(await requirements("../contract/requirements.txt")),
  ...(await requirements("requirements.txt")),
};

/** The tables in api/README.md name the versions that are pinned. */
async function judgeTables() {
  const lists = [await json("package.json"), await json("testers/package.json")];
  const devDependencies = Object.assign({}, ...lists.map((list) => list.devDependencies));
  const readme = await text("../../api/README.md");
  for (const tool of new Set(clients.flatMap(({ tools }) => tools))) {
    const named = `${tool} ${devDependencies[tool] ?? inPython[tool]}`;
    hold(
      readme.split(/[,:|]| with /).some((part) => part.trim().startsWith(named)),
      `the tables of clients in api/README.md do not name "${named}"`,
    );
  }
}

/** Whether the toolchains of a client are there. */
async function isThere({ name, language, tools }) {
  const all = [languages[language].needs, ...(tools.some((tool) => tool in inPython) ? [languages.python.needs] : [])];
  for (const needs of all) {
    if (
      await run(needs).then(
        () => true,
        () => false,
      )
    )
      continue;
    const reason = `${name}: left out, as \`${needs.join(" ")}\` does not run here`;
    hold(process.env.REQUIRE_CLIENTS !== "1", reason);
    console.log(reason);
    return false;
  }
  return true;
}

async function main() {
  const { values, positionals } = parseArgs({
    options: { all: { type: "boolean" }, only: { type: "string", multiple: true }, write: { type: "boolean" } },
    allowPositionals: true,
  });
  if (values.write) {
    const types = clients[0].generate.with(-1, "tasks-api-client/schema.d.ts");
    return run(types);
  }
  const [binary] = positionals;
  hold(binary, "usage: node run.mjs [--all] [--only NAME] /path/to/tasks-server");
  const wanted = clients.filter(({ name, isSlow }) =>
    values.only ? values.only.some((part) => name.includes(part)) : values.all || !isSlow,
  );
  hold(wanted.length > 0, `no client of these names; there are ${clients.map(({ name }) => name).join("; ")}`);
  await judgeTables();
  const chosen = [];
  const others = clients.filter(({ name }) => wanted.some(({ after }) => after === name));
  for (const client of new Set([...others, ...wanted])) if (await isThere(client)) chosen.push(client);

  await rm(generated, { recursive: true, force: true });
  await mkdir(join(generated, "datamodel"), { recursive: true });
  await writeFile(join(generated, "package.json"), '{ "private": true, "type": "module" }\n');
  const said = (what) => console.log(`clients: ${what} (after ${Math.round(performance.now() / 1000)} s)`);
  const isPython = ({ tools }) => tools.some((tool) => tool in inPython);
  const installed = chosen.some(isPython) ? install("requirements.txt", join(target, "python")) : undefined;
  await inPairs(chosen, async (client) => {
    if (isPython(client)) await installed;
    if (client.generate) await run(client.generate);
  });
  said(`generated ${chosen.length}`);

  const server = await start(resolve(binary));
  const proxy = await later(server.url);
  const env = { TASKS_SERVER: server.url, TASKS_BINARY: resolve(binary), TASKS_TOKEN: server.token };
  try {
    for (const [name, language] of Object.entries(languages)) {
      const those = chosen.filter((client) => client.language === name);
      if (those.length === 0) continue;
      await language.compile(those, server);
      said(`compiled those in ${name}`);
      for (const program of those.flatMap(({ programs }) => programs ?? ["story"])) {
        const { stdout } = await language.run(program, { ...env, TASKS_URL: proxy.url });
        if (stdout) process.stdout.write(stdout);
      }
    }
  } finally {
    proxy.stop();
    await server.stop();
  }
  said("done");
}

try {
  await main();
} catch (fault) {
  console.error(fault.message);
  process.exit(1);
}
