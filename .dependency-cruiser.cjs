/**
 * Imports run one way, types included:
 *   demo -> cli -> service -> workers, status -> store -> webhook, read, push, sweep, audit -> refresh -> redis -> kinde, http ->
 *   the client package's contract -> config, errors.
 * Packages never import the service.
 */
const ground =
  "^src/(config|setting-values|redis-url|environment|errors|fetch|log|words|world|progress|trace|load-definitions)\\.ts$";
/** The client's optional entry points, each with peers of its own. */
const clientEntries = "^packages/kindling/src/(adapters/|openfeature|request|testing)";
const above = (...folders) =>
  `^(${folders.map((folder) => (folder === "workers" ? "workers" : `src/${folder}`)).join("|")})/`;

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    {
      name: "webhook-knows-no-other-flow-but-refresh",
      severity: "error",
      from: { path: "^src/webhook/" },
      to: { path: "^src/(sweep|audit)/" },
    },
    {
      name: "sweep-knows-no-other-flow-but-refresh",
      severity: "error",
      from: { path: "^src/sweep/" },
      to: { path: "^src/(webhook|audit)/" },
    },
    {
      name: "read-and-push-know-no-other-flow",
      severity: "error",
      from: { path: "^src/(read|push)/" },
      to: { path: "^src/(webhook|refresh|sweep|audit)/" },
    },
    { name: "audit-knows-no-sweep", severity: "error", from: { path: "^src/audit/" }, to: { path: "^src/sweep/" } },
    {
      name: "no-orphans",
      severity: "error",
      from: { orphan: true, path: "^(src|workers|packages)/", pathNot: "\\.d\\.ts$|^src/dashboard/assets/" },
      to: {},
    },
    {
      name: "ground",
      comment: "Settings, errors and log know nothing of what uses them.",
      severity: "error",
      from: { path: ground },
      to: { path: "^(src|workers)/", pathNot: ground },
    },
    {
      name: "kinde-redis-and-http-know-no-flow",
      severity: "error",
      from: { path: "^src/(kinde|redis|http)/" },
      to: {
        path: `${above("webhook", "read", "push", "refresh", "sweep", "audit", "status", "maintenance", "dashboard", "service", "cli", "demo", "workers")}|^src/(store|index)\\.ts$`,
      },
    },
    {
      name: "kinde-stands-alone",
      severity: "error",
      from: { path: "^src/kinde/" },
      to: { path: "^src/(redis|http)/" },
    },
    { name: "http-stands-alone", severity: "error", from: { path: "^src/http/" }, to: { path: "^src/(redis|kinde)/" } },
    {
      name: "refresh-is-the-lowest-flow",
      severity: "error",
      from: { path: "^src/refresh/" },
      to: {
        path: above(
          "webhook",
          "read",
          "push",
          "sweep",
          "audit",
          "status",
          "maintenance",
          "dashboard",
          "service",
          "cli",
          "demo",
          "workers",
        ),
      },
    },
    {
      name: "flows-know-no-store",
      comment: "A flow names the few things it needs; the store that holds them all is composed above.",
      severity: "error",
      from: { path: "^src/(webhook|read|push|refresh|sweep|audit)/" },
      to: {
        path: `${above("status", "maintenance", "dashboard", "service", "cli", "demo", "workers")}|^src/store\\.ts$`,
      },
    },
    {
      name: "store-and-status-know-no-delivery",
      severity: "error",
      from: { path: "^src/(store\\.ts|status/|maintenance/)" },
      to: { path: above("dashboard", "service", "cli", "demo", "workers") },
    },
    {
      name: "dashboard-only-renders",
      comment: "It gets its operations passed in, and computes no figure that the command or metrics would lack.",
      severity: "error",
      from: { path: "^src/dashboard/" },
      to: { path: above("service", "cli", "demo", "workers") },
    },
    {
      name: "workers-are-thin",
      comment: "Job in, flow called, error turned into retry or failure.",
      severity: "error",
      from: { path: "^workers/" },
      to: {
        path: `${above("http", "status", "maintenance", "dashboard", "service", "cli", "demo")}|^src/(store|index)\\.ts$`,
      },
    },
    {
      name: "service-knows-no-command",
      severity: "error",
      from: { path: "^src/(service/|index\\.ts)" },
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
      comment: "Its core runs in browsers and at the edge: no Node module and no dependency.",
      severity: "error",
      from: { path: "^packages/kindling/", pathNot: clientEntries },
      to: { dependencyTypes: ["core", "npm", "npm-dev", "npm-peer", "npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "client-core-knows-no-adapter",
      comment: "Whoever imports the main entry must not get jose or a framework.",
      severity: "error",
      from: { path: "^packages/kindling/", pathNot: clientEntries },
      // What verifies tokens needs jose; what only uses a verifier does not.
      to: { path: clientEntries, pathNot: "^packages/kindling/src/request/(create-request-reader|types)\\.ts$" },
    },
    {
      name: "adapters-bring-optional-peers-only",
      severity: "error",
      from: { path: clientEntries },
      to: {
        dependencyTypes: ["core", "npm", "npm-dev", "npm-no-pkg", "npm-unknown"],
        dependencyTypesNot: ["npm-peer"],
      },
    },
    {
      name: "only-the-verifier-needs-jose",
      comment: "Adapters and test readers run without it.",
      severity: "error",
      from: { path: "^packages/kindling/src/(adapters|openfeature|testing)" },
      to: { path: "/node_modules/jose/|^packages/kindling/src/(request\\.ts|request/(create-verifier|key-set))" },
    },
    {
      name: "nothing-knows-the-test-harness",
      severity: "error",
      from: { path: "^(src|workers)/", pathNot: "^src/(testing|demo)" },
      to: { path: "^src/testing" },
    },
    {
      name: "emulator-is-independent",
      comment: "The emulator must not share code with what it is there to test.",
      severity: "error",
      from: { path: "^packages/kinde-emulator/" },
      to: { path: "^packages/kindling/" },
    },
    {
      name: "src-knows-no-test",
      severity: "error",
      from: { path: "^(src|workers|packages)/" },
      to: { path: "^(test|bench)/" },
    },
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
    exclude: { path: "(^|/)dist/" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
