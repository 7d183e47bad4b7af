// Says no when a document takes back what a released one promised, unless its version says so: a higher major version, or
// before 1.0 a higher minor one. Run it with `node gate.mjs released.json openapi.json`.

import { breaks, mayBreak, read } from "./breaking.mjs";

const files = process.argv.slice(2);
const [released, version] = files.map((file) => read(file).info.version);
const lines = await breaks(...files);
for (const line of lines) console.error(line);
console.log(`breaking changes since ${released}: ${lines.length}; the version is ${version}`);
if (lines.length > 0 && !mayBreak(released, version)) {
  console.error("raise the version in Cargo.toml, or keep what was promised");
  process.exit(1);
}
