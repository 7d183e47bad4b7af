import { defineConfig } from "orval";

const input = "../../../api/openapi.json";

export default defineConfig({
  tasks: {
    input,
    output: {
      target: "../generated/orval/tasks.ts",
      client: "fetch",
      mode: "single",
      // Else the operations take no Idempotency-Key and no If-Match.
      headers: true,
      // Else a `/` in a user's id is another path.
      urlEncodeParameters: true,
      baseUrl: { runtime: `process.env["TASKS_URL"]` },
    },
  },
  zod: { input, output: { target: "../generated/orval/zod.ts", client: "zod", mode: "single" } },
});
