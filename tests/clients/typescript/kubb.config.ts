import { defineConfig } from "@kubb/core";
import { pluginClient } from "@kubb/plugin-client";
import { pluginOas } from "@kubb/plugin-oas";
import { pluginTs } from "@kubb/plugin-ts";
import { pluginZod } from "@kubb/plugin-zod";

export default defineConfig({
  root: ".",
  input: { path: "../../api/openapi.json" },
  // The full answer: else neither status nor headers. Not `parser: "zod"`, which takes a problem for a task and throws.
  // For Node, which wants names of files with their endings.
  output: { path: "generated/kubb", extension: { ".ts": ".js" } },
  plugins: [pluginOas(), pluginTs(), pluginZod(), pluginClient({ client: "fetch", dataReturnType: "full" })],
});
