import { defineConfig } from "orval";

export default defineConfig({
  tasks: {
    input: "../../api/openapi.json",
    output: {
      target: "generated/orval/tasks.ts",
      client: "fetch",
      mode: "single",
      // Else the operations take no Idempotency-Key and no If-Match.
      headers: true,
      baseUrl: process.env["TASKS_URL"] ?? "",
    },
  },
});
