import { defineConfig } from "@hey-api/openapi-ts";

const input = "../../api/openapi.json";
// For Node, which wants names of files with their endings.
const module = { extension: ".js" } as const;

export default defineConfig([
  {
    input,
    output: { path: "generated/hey", module },
    plugins: ["@hey-api/client-fetch", "zod", "valibot", "@tanstack/react-query"],
  },
  {
    input,
    output: { path: "generated/hey-checked", module },
    plugins: ["@hey-api/client-fetch", "zod", "@hey-api/transformers", { name: "@hey-api/sdk", validator: "zod", transformer: true }],
  },
]);
