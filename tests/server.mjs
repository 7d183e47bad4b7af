// A server of the given binary in an empty folder, for the tests in JavaScript.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** The binary that the command line names. */
export function binary() {
  const path = process.argv[2];
  if (!path) {
    console.error(`usage: node ${process.argv[1]} /path/to/tasks-server`);
    process.exit(2);
  }
  return resolve(path);
}

/**
 * Starts the server on a free port and with these variables, in development mode unless they have a key: its address as the world finds
 * it, where it listens, the token that it prints then, its folder, what runs another command there and answers what it prints, and how to stop it.
 * A folder that is given stays.
 */
export async function start(binary, variables = {}, given = undefined) {
  const folder = given ?? mkdtempSync(join(tmpdir(), "tasks-server-"));
  const env = {
    PATH: process.env.PATH,
    LISTEN: "127.0.0.1:0",
    RATE_LIMIT_PER_MINUTE: "0",
    RATE_LIMIT_PER_MINUTE_ADDRESS: "0",
    ...variables,
  };
  const child = spawn(binary, [], { cwd: folder, env, stdio: ["ignore", "ignore", "pipe"] });
  const exited = once(child, "exit");
  let banner = "";
  child.stderr.setEncoding("utf8").on("data", (piece) => (banner += piece));
  const stop = async () => {
    child.kill("SIGTERM");
    const [code] = await exited;
    if (!given) rmSync(folder, { recursive: true });
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${banner}`);
  };
  for (let waits = 0; waits < 300 && child.exitCode === null && !/^Ready/m.test(banner); waits += 1) await sleep(50);
  const url = /(https?:\/\/\S+)\/docs/.exec(banner)?.[1];
  const address = /listening +(\S+)$/m.exec(banner)?.[1];
  const token = /eyJ\S+/.exec(banner)?.[0];
  const isDevelopment = !variables.JWT_SECRET && !variables.JWKS_URL;
  if (!url || !address || (isDevelopment && !token)) {
    await stop().catch(() => {});
    throw new Error(`the server did not start:\n${banner}`);
  }
  const run = (...words) => execFileSync(binary, words, { cwd: folder, env, encoding: "utf8" }).trim();
  return { url, address, token, folder, run, stop };
}
