// Prism as a proxy that validates: the story of openapi-fetch goes through it, and no answer may break the document.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { later } from "../later.mjs";

const folder = join(import.meta.dirname, "..");
const options = ["--errors", "--host", "127.0.0.1", "--port", "0"];
const prism = spawn(
  join(import.meta.dirname, "node_modules/.bin/prism"),
  ["proxy", "../../api/openapi.json", process.env.TASKS_SERVER, ...options],
  {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  },
);
const exited = once(prism, "exit");
try {
  const said = [];
  const url = await new Promise((found, failed) => {
    createInterface(prism.stdout).on("line", (line) => {
      said.push(line);
      const at = /listening on (http:\/\/\S+)/.exec(line)?.[1];
      if (at) found(at);
    });
    exited.then(() => failed(new Error(`Prism ended:\n${said.join("\n")}`)));
  });
  const violations = [];
  const proxy = await later(url, (answer) => {
    if (answer.headers["sl-violations"]) violations.push(answer.headers["sl-violations"]);
  });
  const env = { ...process.env, TASKS_URL: proxy.url };
  const [code] = await once(
    spawn("node", [join(folder, "generated/openapi-fetch.js")], { env, stdio: "inherit" }),
    "exit",
  );
  if (code !== 0) throw new Error(said.join("\n"));
  proxy.stop();
  const reported = said.filter((line) => /violation/i.test(line));
  if (violations.length + reported.length > 0) throw new Error([...violations, ...reported].join("\n"));
  console.log("Prism: the whole story, no violation");
} finally {
  prism.kill();
  await exited;
}
