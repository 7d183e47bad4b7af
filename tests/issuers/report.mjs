// What the issuers in JavaScript share: the report that run.mjs reads, and versions of what was run.

import { once } from "node:events";
import { readFileSync } from "node:fs";

/** The installed versions of these packages. */
export function versions(...packages) {
  const { packages: installed } = JSON.parse(readFileSync(new URL("package-lock.json", import.meta.url), "utf8"));
  return Object.fromEntries(packages.map((name) => [name, installed[`node_modules/${name}`].version]));
}

/** Prints the report, and ends the process when its input ends. */
export async function report(versions, cases) {
  console.log(`report: ${JSON.stringify({ versions, cases })}`);
  process.stdin.resume();
  await once(process.stdin, "end");
  process.exit(0);
}

/** Puts a handler of requests on a free port of loopback; it may be made when the origin is known. */
export async function serve(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}
