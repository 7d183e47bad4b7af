// Uses the pages of the server in headless Chromium as a person would. Run it with `npm ci` and then
// `node run.mjs /path/to/tasks-server` (Node 20 or newer; Chromium on PATH or named by CHROMIUM). What the pages looked
// like is in target/browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";
import { binary, start } from "../server.mjs";

const pictures = join(import.meta.dirname, "../../target/browser");
mkdirSync(pictures, { recursive: true });

const server = await start(binary());
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim(),
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
  ],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 1600 } });
const page = await context.newPage();

// Whatever a browser complains of, and whomever it asks.
const complaints = [];
const hosts = new Set();
page.on("console", (message) => {
  complaints.push(`${message.type()}: ${message.text()}`);
});
page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
page.on("request", (request) => {
  const url = new URL(request.url());
  if (url.protocol !== "data:" && url.protocol !== "blob:") hosts.add(url.origin);
});
await page.addInitScript(() => {
  addEventListener("securitypolicyviolation", (event) => {
    console.error(`${event.violatedDirective} keeps out ${event.blockedURI}`);
  });
});

let seen = 0;
async function see(claim, check) {
  try {
    await check();
  } catch (error) {
    await page.screenshot({ path: join(pictures, "failure.png"), fullPage: true });
    throw new Error(`not so: ${claim}`, { cause: error });
  }
  seen += 1;
  console.log(`ok  ${claim}`);
}
const open = (path) => page.goto(server.url + path, { waitUntil: "networkidle" });
const operation = (id) => page.locator(`#operations-Tasks-${id}`);

/** Executes an operation by "Try it out": the status that it answers, once Swagger UI shows it. */
async function execute(id) {
  const answered = page.waitForResponse((response) => response.url().includes("/api/"));
  await operation(id).locator(".execute").click();
  const status = (await answered).status();
  const shown = operation(id).locator(".live-responses-table tbody .response-col_status");
  await shown.filter({ hasText: String(status) }).first().waitFor();
  return status;
}

/** What axe finds: contrast, names, landmarks, order of headings. */
async function faults() {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

try {
  await see("Swagger UI opens under its policy", async () => {
    const answer = await open("/docs");
    const policy = answer.headers()["content-security-policy"];
    assert.match(policy, /default-src 'none'; script-src 'self';/);
    await operation("createTask").waitFor();
    assert.equal(await page.locator(".opblock").count(), 16);
    assert.equal(await page.locator(".errors-wrapper").count(), 0);
    await page.screenshot({ path: join(pictures, "docs.png") });
  });

  await see("it is the Swagger UI that the contract's room names, and reads the models of OpenAPI 3.1", async () => {
    const { version } = await page.evaluate(() => globalThis.versions.swaggerUI);
    const readme = readFileSync(join(import.meta.dirname, "../../api/README.md"), "utf8");
    assert.match(readme, new RegExp(`Swagger UI ${version.replaceAll(".", "[.]")}\\b`));
    const model = async (name) => {
      const title = page.locator(`.json-schema-2020-12__title:text-is("${name}")`);
      const article = page.locator("section.models article[data-json-schema-level='0']").filter({ has: title });
      await article.locator(".json-schema-2020-12-expand-deep-button").first().click();
      return (await article.innerText()).replaceAll(/\s+/g, " ");
    };
    const task = await model("Task");
    for (const part of ["string | null", "date-time", "[1, 200] characters", "matches ^[^", '"Buy milk and bread"']) {
      assert.ok(task.includes(part), `${part} is not in: ${task}`);
    }
    assert.match(await model("TaskDraft"), /Additional properties ?forbidden/);
    assert.match(await model("Problem"), /Examples.*"malformed-json"/);
    await page.locator("section.models").screenshot({ path: join(pictures, "models.png") });
    await open("/docs");
  });

  await see("without a token an operation is refused", async () => {
    await operation("listTasks").locator(".opblock-summary-control").click();
    assert.equal(await execute("listTasks"), 401);
  });
  await see("the browser itself reports the 401, and nothing else", async () => {
    for (let waits = 0; waits < 50 && complaints.length === 0; waits += 1) await page.waitForTimeout(100);
    const report = "error: Failed to load resource: the server responded with a status of 401 (Unauthorized)";
    assert.deepEqual(complaints.splice(0), [report]);
  });

  await see("a token is taken", async () => {
    await page.locator(".btn.authorize").click();
    await page.locator(".auth-container input").fill(server.token);
    await page.locator(".auth-btn-wrapper .authorize").click();
    await page.screenshot({ path: join(pictures, "authorized.png") });
    await page.locator(".btn-done").click();
  });

  await see("a task is created by Try it out, and each time another", async () => {
    await operation("createTask").locator(".opblock-summary-control").click();
    for (const title of ["Buy milk", "Walk the dog"]) {
      await operation("createTask").locator("textarea").fill(JSON.stringify({ title }));
      assert.equal(await execute("createTask"), 201);
      await operation("createTask").locator(".live-responses-table", { hasText: title }).waitFor();
    }
    await page.screenshot({ path: join(pictures, "created.png") });
  });

  await see("the list has both", async () => {
    assert.equal(await execute("listTasks"), 200);
    const listed = operation("listTasks").locator(".live-responses-table");
    await listed.filter({ hasText: "Buy milk" }).filter({ hasText: "Walk the dog" }).waitFor();
    await listed.scrollIntoViewIfNeeded();
    await page.screenshot({ path: join(pictures, "listed.png") });
  });

  await see("the list of problems is for everybody, and for keyboards", async () => {
    await open("/problems");
    assert.deepEqual(await faults(), []);
    await page.keyboard.press("Tab");
    const [focused, outline] = await page.evaluate(() => {
      const { textContent } = document.activeElement;
      return [textContent, getComputedStyle(document.activeElement).outlineStyle];
    });
    assert.equal(focused, "malformed-json");
    assert.notEqual(outline, "none");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/problems/malformed-json");
    assert.deepEqual(await faults(), []);
    await page.screenshot({ path: join(pictures, "problem.png") });
  });

  await see("the reference shows the chosen language alone, for everybody, and for keyboards", async () => {
    await open("/docs/reference");
    assert.deepEqual(await faults(), []);
    await page.keyboard.press("Tab");
    for (const language of ["curl", "typescript", "rust", "python", "agents"]) {
      for (let tabs = 0; tabs < 9 && !(await page.evaluate(() => document.activeElement.matches("input"))); tabs += 1) {
        await page.keyboard.press("Tab");
      }
      assert.equal(await page.evaluate(() => document.activeElement.id), language);
      const shown = await page.locator("pre:visible").evaluateAll((all) => all.map((sample) => sample.className));
      // Agents see the operations that are tools.
      assert.deepEqual(shown, Array(language === "agents" ? 6 : 17).fill(language));
      assert.equal(await page.locator("table:visible").count(), language === "agents" ? 5 : 16);
      assert.deepEqual(await faults(), []);
      await page.screenshot({ path: join(pictures, `reference-${language}.png`) });
      await page.keyboard.press("ArrowRight");
    }
  });

  await see("its samples for curl do what they say, and those for Python are Python", async () => {
    const samples = (language) => page.locator(`pre.${language}`).allTextContents();
    const env = { PATH: process.env.PATH, TASKS: server.url, TOKEN: server.token };
    const shell = (script) => execFileSync("sh", ["-c", script], { env, encoding: "utf8" });
    const [, ...requests] = await samples("curl");
    assert.equal(requests.length, 16);
    for (const request of requests) {
      // The document's tasks are on no server.
      const create = `curl -s "$TASKS/api/me/tasks" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"title":"x"}'`;
      const script = request.replaceAll(/019c13be-[0-9a-f-]{27}|019ab0d2-[0-9a-f-]{27}/g, () => JSON.parse(shell(create)).data.id);
      const status = shell(`${script} -s -o /dev/null -w '%{http_code}'`);
      assert.match(status, /^20[014]$/, `${status}: ${request}`);
    }
    const isPython = "import ast, sys; ast.parse(sys.stdin.read())";
    execFileSync("python3", ["-c", isPython], { input: (await samples("python")).join("\n") });
  });

  for (const strips of [true, false]) {
    const how = strips ? "strips the path" : "leaves the path";
    // A proxy that has the server under /a/tasks, and everything else nowhere.
    let target;
    const proxy = http.createServer((request, response) => {
      if (!request.url.startsWith("/a/tasks")) return response.writeHead(502).end();
      const [host, port] = target.split(":");
      const path = strips ? request.url.slice("/a/tasks".length) || "/" : request.url;
      const { method, headers } = request;
      request.pipe(
        http.request({ host, port, path, method, headers }, (answer) => {
          answer.pipe(response.writeHead(answer.statusCode, answer.headers));
        }),
      );
    });
    await once(proxy.listen(0, "127.0.0.1"), "listening");
    const below = await start(binary(), { PUBLIC_URL: `http://127.0.0.1:${proxy.address().port}/a/tasks/` });
    target = below.address;
    try {
      await see(`behind a proxy that ${how}, Swagger UI works`, async () => {
        await page.goto(`${below.url}/`, { waitUntil: "networkidle" });
        assert.equal(page.url(), `${below.url}/docs`);
        await operation("createTask").waitFor();
        assert.equal(await page.locator(".opblock").count(), 16);
        await page.locator(".btn.authorize").click();
        await page.locator(".auth-container input").fill(below.token);
        await page.locator(".auth-btn-wrapper .authorize").click();
        await page.locator(".btn-done").click();
        await operation("createTask").locator(".opblock-summary-control").click();
        await operation("createTask").locator("textarea").fill(JSON.stringify({ title: "Buy milk" }));
        assert.equal(await execute("createTask"), 201);
        const answered = operation("createTask").locator(".live-responses-table");
        await answered.filter({ hasText: "location: /a/tasks/api/developer/tasks/" }).waitFor();
        await page.screenshot({ path: join(pictures, `proxy-${strips ? "strips" : "leaves"}.png`) });
      });
      await see(`behind a proxy that ${how}, every link leads on`, async () => {
        for (const path of ["/docs/reference", "/problems", "/problems/path-not-found"]) {
          await page.goto(below.url + path);
          for (const link of await page.locator("a").evaluateAll((all) => all.map(({ href }) => href))) {
            assert.ok(link.startsWith(below.url), link);
            assert.equal((await page.request.get(link)).status(), 200, link);
          }
        }
      });
      hosts.delete(new URL(below.url).origin);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
      await below.stop();
    }
  }

  await see("no page complains, and none asks another host", () => {
    assert.deepEqual(complaints, []);
    assert.deepEqual([...hosts], [server.url]);
  });
  console.log(`${seen} claims seen; pictures are in target/browser`);
} finally {
  await browser.close();
  await server.stop();
}
