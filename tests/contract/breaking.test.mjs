// Deliberate edits of the document, and whether each breaks a client.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { breaks, mayBreak } from "./breaking.mjs";

const original = readFileSync(join(import.meta.dirname, "../../api/openapi.json"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "breaking-"));
after(() => rmSync(folder, { recursive: true }));

const LIST = "/api/{user_id}/tasks";
const ONE = `${LIST}/{id}`;
const schema = (document, name) => document.components.schemas[name];
const member = (document, name, of) => schema(document, name).properties[of];
const operation = (document, method, path) => document.paths[path][method];
const answer = (document, status, method, path) => operation(document, method, path).responses[status];
const parameter = (document, name, method, path) => operation(document, method, path).parameters.find((p) => p.name === name);
const without = (list, item) => list.splice(list.indexOf(item), 1);
const text = { type: "string" };

const BREAKING = {
  "an operation removed": (d) => delete d.paths[ONE].delete,
  "a path removed": (d) => delete d.paths[`${LIST}/bulk-delete`],
  "an operation renamed": (d) => (operation(d, "get", LIST).operationId = "getTasks"),
  "a success removed": (d) => delete operation(d, "get", ONE).responses[304],
  "a refusal removed": (d) => delete operation(d, "put", ONE).responses[412],
  "a token wanted": (d) => (operation(d, "get", "/livez").security = [{ bearer: [] }]),
  "a member of an answer removed": (d) => {
    delete schema(d, "Task").properties.completed_at;
    without(schema(d, "Task").required, "completed_at");
  },
  "an optional member of an answer removed": (d) => delete schema(d, "Problem").properties.current_version,
  "a member of an answer no longer always there": (d) => without(schema(d, "Task").required, "version"),
  "a member of an answer of another type": (d) => (member(d, "Task", "version").type = "string"),
  "a member of an answer perhaps null": (d) => (member(d, "Task", "title").type = ["string", "null"]),
  "a header removed": (d) => delete answer(d, 201, "post", LIST).headers.Location,
  "a header no longer always there": (d) => delete answer(d, 201, "post", LIST).headers.ETag.required,
  "an answer in another media type": (d) => {
    const { content } = answer(d, 400, "post", LIST);
    content["application/json"] = content["application/problem+json"];
    delete content["application/problem+json"];
  },
  "a value of an enum in a request removed": (d) => without(member(d, "TaskDraft", "kind").enum, "b"),
  "a length lowered": (d) => (member(d, "TaskDraft", "title").maxLength = 100),
  "a number of entries lowered": (d) => (member(d, "TaskDrafts", "tasks").maxItems = 50),
  "a pattern narrowed": (d) => (member(d, "TaskDraft", "title").pattern = "^[a-z]+$"),
  "a minimum raised": (d) => (member(d, "SelectedTask", "version").minimum = 2),
  "a maximum lowered": (d) => (parameter(d, "limit", "get", LIST).schema.maximum = 50),
  "null no longer taken": (d) => (member(d, "TaskDraft", "note").type = "string"),
  "a member wanted": (d) => {
    schema(d, "TaskDraft").properties.priority = text;
    schema(d, "TaskDraft").required.push("priority");
  },
  "an optional member now wanted": (d) => schema(d, "SelectedTask").required.push("version"),
  "a member no longer taken": (d) => delete schema(d, "TaskPatch").properties.is_completed,
  "a body now wanted": (d) => (operation(d, "patch", `${ONE}/complete`).requestBody.required = true),
  "a media type no longer taken": (d) =>
    delete operation(d, "patch", ONE).requestBody.content["application/merge-patch+json"],
  "a parameter wanted": (d) =>
    operation(d, "get", LIST).parameters.push({ name: "q", in: "query", required: true, schema: text }),
  "an optional parameter now wanted": (d) => (parameter(d, "If-Match", "put", ONE).required = true),
  "a parameter removed": (d) =>
    without(operation(d, "get", LIST).parameters, parameter(d, "include_total", "get", LIST)),
  "a parameter moved": (d) => (parameter(d, "limit", "get", LIST).in = "header"),
  "a parameter of another type": (d) => (parameter(d, "is_completed", "get", LIST).schema.type = "integer"),
  "a value of an enum in an answer added": (d) => schema(d, "HealthStatus").enum.push("tired"),
  "another way to sign in": (d) => {
    const { type: _, ...scheme } = d.components.securitySchemes.bearer;
    d.components.securitySchemes.bearer = { ...scheme, type: "apiKey", in: "header", name: "X-Key" };
  },
  "another default": (d) => (parameter(d, "limit", "get", LIST).schema.default = 20),
};

const HARMLESS = {
  "nothing": () => {},
  "other words": (d) => (operation(d, "post", LIST).description = "Other words."),
  "an operation added": (d) =>
    (d.paths["/tags"] = { get: { ...structuredClone(operation(d, "get", "/livez")), operationId: "listTags" } }),
  "a refusal added": (d) => (operation(d, "get", LIST).responses[418] = answer(d, 503, "get", LIST)),
  "a code of problems added": (d) => member(d, "Problem", "code").examples.push("too-many-requests"),
  "a member of an answer added": (d) => {
    schema(d, "Task").properties.note = text;
    schema(d, "Task").required.push("note");
  },
  "a header added": (d) => (answer(d, 200, "get", LIST).headers["X-New"] = { required: true, schema: text }),
  "a length raised": (d) => (member(d, "TaskDraft", "title").maxLength = 300),
  "a value of an enum in a request added": (d) => member(d, "TaskDraft", "kind").enum.push("c"),
  "an optional member of a request added": (d) => (schema(d, "TaskDraft").properties.colour = text),
  "an optional parameter added": (d) => operation(d, "get", LIST).parameters.push({ name: "colour", in: "query", schema: text }),
};

/** What an edit breaks. */
async function broken(edit, name) {
  const [before, now] = ["before", "after"].map((which) => join(folder, `${name.replaceAll(" ", "-")}.${which}.json`));
  const document = JSON.parse(original);
  // What the document has no example of yet.
  Object.assign(schema(document, "TaskDraft").properties, {
    kind: { type: "string", enum: ["a", "b"] },
    note: { type: ["string", "null"] },
  });
  writeFileSync(before, JSON.stringify(document));
  edit(document);
  writeFileSync(now, JSON.stringify(document));
  return breaks(before, now);
}

describe("an edit", { concurrency: 2 }, () => {
  for (const [name, edit] of Object.entries(BREAKING)) {
    test(`${name} breaks`, async () => assert.notDeepEqual(await broken(edit, name), []));
  }
  for (const [name, edit] of Object.entries(HARMLESS)) {
    test(`${name} breaks nothing`, async () => assert.deepEqual(await broken(edit, name), []));
  }
});

test("only a higher major version, or before 1.0 a higher minor one, may break", () => {
  for (const [from, to] of [["0.1.0", "0.2.0"], ["0.9.3", "1.0.0"], ["1.4.0", "2.0.0"]]) assert(mayBreak(from, to));
  for (const [from, to] of [["0.1.0", "0.1.1"], ["1.0.0", "1.1.0"], ["1.0.0", "1.0.0"], ["2.0.0", "1.9.0"], ["1.0.0", "0.9.0"]]) {
    assert(!mayBreak(from, to), `${from} ${to}`);
  }
});
