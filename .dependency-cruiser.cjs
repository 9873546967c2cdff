/**
 * Imports run one way, types included:
 *   cli, demo -> service -> workers, http -> webhook, sweep, audit, status -> refresh -> redis, kinde -> the client
 *   package's contract -> config, errors.
 * Packages never import the service.
 */
const ground = "^src/(config|errors|log|words|world|load-definitions)\\.ts$";
const above = (...folders) => `^(${folders.map((folder) => (folder === "workers" ? "workers" : `src/${folder}`)).join("|")})/`;

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    {
      name: "no-circular-folders",
      comment: "Two folders that import each other are one folder.",
      severity: "error",
      scope: "folder",
      from: { path: "^(src|workers)" },
      to: { circular: true },
    },
    { name: "no-orphans", severity: "error", from: { orphan: true, path: "^(src|workers|packages)/" }, to: {} },
    {
      name: "ground",
      comment: "Settings, errors and log know nothing of what uses them.",
      severity: "error",
      from: { path: ground },
      to: { path: "^(src|workers)/", pathNot: ground },
    },
    {
      name: "kinde-and-redis-know-no-flow",
      severity: "error",
      from: { path: "^src/(kinde|redis)/" },
      to: { path: `${above("webhook", "refresh", "sweep", "audit", "status", "http", "cli", "demo", "workers")}|^src/(service|index|create-writer)\\.ts$` },
    },
    { name: "kinde-knows-no-redis", severity: "error", from: { path: "^src/kinde/" }, to: { path: "^src/redis/" } },
    {
      name: "refresh-is-the-lowest-flow",
      severity: "error",
      from: { path: "^src/refresh/" },
      to: { path: above("webhook", "sweep", "audit", "status", "http", "cli", "demo", "workers") },
    },
    {
      name: "flows-know-no-delivery",
      severity: "error",
      from: { path: "^src/(webhook|sweep|audit|status)/" },
      to: { path: above("cli", "demo", "workers") },
    },
    {
      name: "http-and-workers-know-no-composition",
      severity: "error",
      from: { path: "^(workers|src/http)/" },
      to: { path: `${above("cli", "demo")}|^src/(service|index|create-writer)\\.ts$` },
    },
    { name: "http-starts-no-worker", severity: "error", from: { path: "^src/http/" }, to: { path: "^workers/" } },
    {
      name: "service-knows-no-command",
      severity: "error",
      from: { path: "^src/(service|index|create-writer)\\.ts$" },
      to: { path: above("cli", "demo") },
    },
    {
      name: "nothing-shipped-knows-the-demo",
      severity: "error",
      from: { path: "^(src|workers)/", pathNot: "^src/demo/" },
      to: { path: "^src/demo/" },
    },
    {
      name: "packages-never-import-the-service",
      severity: "error",
      from: { path: "^packages/" },
      to: { path: "^(src|workers)/" },
    },
    {
      name: "client-brings-nothing",
      comment: "It runs in browsers and at the edge: no Node module and no dependency.",
      severity: "error",
      from: { path: "^packages/kindling/" },
      to: { dependencyTypes: ["core", "npm", "npm-dev", "npm-peer", "npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "emulator-is-independent",
      comment: "The emulator must not share code with what it is there to test.",
      severity: "error",
      from: { path: "^packages/kinde-emulator/" },
      to: { path: "^packages/kindling/" },
    },
    { name: "src-knows-no-test", severity: "error", from: { path: "^(src|workers|packages)/" }, to: { path: "^(test|bench)/" } },
    {
      name: "no-dev-dependency-in-product",
      comment: "The demo does not ship; the emulator is an optional peer, loaded by its command.",
      severity: "error",
      from: { path: "^(src|workers)/", pathNot: "^src/demo/" },
      to: {
        dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"],
        dependencyTypesNot: ["type-only", "npm-peer", "npm-optional"],
      },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
