// The clients that people generate: by which tools, with which settings, and how strictly they compile. What there is to know of
// each stands in api/README.md, whose versions are held against those that are pinned here.

const document = "../../api/openapi.json";

/** openapi-generator, with settings of the generator; on names of Node's own modules see below. */
const openapiGenerator = (generator, ...settings) => [
  ...["openapi-generator-cli", "generate", "-i", document, "-g", generator, "-o", `generated/${generator}`],
  ...(settings.length ? ["--additional-properties", settings.join()] : []),
];

/**
 * Each client: what is run to make it (in this folder), and its programs in the folder of its language. `loose` are options of
 * the compiler that what is generated does not pass; `isSlow` is what only `--all` takes. Then the tools that judge a server by
 * its document; `after` is whose program they run.
 */
export const clients = [
  {
    name: "openapi-typescript",
    tools: ["openapi-typescript", "openapi-fetch"],
    generate: [
      "openapi-typescript",
      document,
      "--root-types",
      "--root-types-no-schema-prefix",
      "--output",
      "generated/schema.d.ts",
    ],
    language: "typescript",
    programs: ["openapi-fetch", "package", "samples"],
  },
  {
    name: "hey-api",
    tools: ["@hey-api/openapi-ts", "zod", "valibot", "@tanstack/react-query"],
    generate: ["openapi-ts", "--file", "typescript/openapi-ts.config.ts"],
    language: "typescript",
    programs: ["hey", "hey-checked"],
    loose: { exactOptionalPropertyTypes: false },
  },
  {
    name: "orval",
    tools: ["orval", "zod"],
    generate: ["orval", "--config", "typescript/orval.config.ts"],
    language: "typescript",
    programs: ["orval"],
  },
  {
    name: "kubb",
    tools: ["@kubb/cli", "@kubb/plugin-client", "zod"],
    generate: ["kubb", "generate", "--config", "typescript/kubb.config.ts"],
    language: "typescript",
    programs: ["kubb"],
    loose: { exactOptionalPropertyTypes: false, skipLibCheck: true },
  },
  {
    name: "swagger-typescript-api",
    tools: ["swagger-typescript-api"],
    generate: [
      "swagger-typescript-api",
      "generate",
      "--path",
      document,
      "--output",
      "generated",
      "--name",
      "swagger-api.ts",
    ],
    language: "typescript",
    programs: ["swagger"],
  },
  {
    name: "oazapfts",
    tools: ["oazapfts", "@oazapfts/runtime"],
    generate: ["oazapfts", document, "generated/oazapfts-api.ts"],
    language: "typescript",
    programs: ["oazapfts"],
    loose: { exactOptionalPropertyTypes: false },
  },
  {
    name: "openapi-generator, typescript-fetch",
    tools: ["openapi-generator-cli"],
    // For Node's own modules, which are named with their endings.
    generate: openapiGenerator("typescript-fetch", "importFileExtension=.js"),
    language: "typescript",
    programs: ["typescript-fetch"],
    loose: { exactOptionalPropertyTypes: false, noImplicitOverride: false, noUncheckedIndexedAccess: false },
  },
  {
    name: "openapi-generator, python",
    tools: ["openapi-generator-cli"],
    generate: openapiGenerator("python"),
    language: "python",
    programs: ["openapi_generator"],
  },
  {
    name: "openapi-python-client",
    tools: ["openapi-python-client"],
    generate: [
      "openapi-python-client",
      "generate",
      "--path",
      document,
      "--output-path",
      "generated/openapi-python-client",
    ],
    language: "python",
    programs: ["openapi_python_client"],
  },
  {
    name: "datamodel-code-generator",
    tools: ["datamodel-code-generator"],
    // With constraints as annotations: else mypy refuses them.
    generate: [
      "datamodel-codegen",
      "--input",
      document,
      "--use-annotated",
      "--output",
      "generated/datamodel/models.py",
    ],
    language: "python",
    programs: ["datamodel"],
  },
  {
    name: "openapi-generator, go",
    tools: ["openapi-generator-cli"],
    // Else a member that comes later is an error.
    generate: openapiGenerator("go", "disallowAdditionalPropertiesIfNotPresent=false"),
    language: "go",
    isSlow: true,
  },
  {
    name: "openapi-generator, rust",
    tools: ["openapi-generator-cli"],
    generate: openapiGenerator("rust"),
    language: "rust",
    isSlow: true,
  },
  { name: "Postman", tools: ["openapi-to-postmanv2"], language: "testers", programs: ["postman"], isSlow: true },
  {
    name: "Prism",
    tools: ["@stoplight/prism-cli"],
    after: "openapi-typescript",
    language: "testers",
    programs: ["prism"],
    isSlow: true,
  },
  { name: "Schemathesis", tools: ["schemathesis"], language: "testers", programs: ["schemathesis"], isSlow: true },
];
