/**
 * Imports run one way:
 *   admin, createKindling -> compose -> workers, http -> refresh, queue -> cache, kinde, flags -> config, errors
 * and the reader, which app servers import, carries nothing of the service with it.
 */
/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    { name: "no-orphans", severity: "error", from: { orphan: true, path: "^(src|workers)/" }, to: {} },
    {
      name: "config-and-errors-are-the-ground",
      severity: "error",
      from: { path: "^src/(config|errors|log|profile-parts)\\.ts$" },
      to: { path: "^(src|workers)/", pathNot: "^src/(config|errors|log|profile-parts)\\.ts$" },
    },
    {
      name: "cache-kinde-flags-know-nothing-above",
      severity: "error",
      from: { path: "^src/(cache|kinde|flags)/" },
      to: { path: "^(workers|src/(compose|http|admin|refresh|queue|reader|emulator))" },
    },
    {
      name: "refresh-queue-know-nothing-above",
      severity: "error",
      from: { path: "^src/(refresh|queue)/" },
      to: { path: "^(workers|src/(compose|http|admin|reader|emulator))" },
    },
    {
      name: "http-and-workers-stand-side-by-side",
      severity: "error",
      from: { path: "^(workers|src/http)/" },
      to: { path: "^src/(compose|admin|emulator|reader)/" },
    },
    {
      name: "compose-knows-no-command",
      severity: "error",
      from: { path: "^src/compose/" },
      to: { path: "^src/(admin|emulator|reader|kindling)/" },
    },
    {
      name: "app-servers-start-no-service",
      comment: "createKindling writes through: neither workers nor endpoint, nor what loads flags files.",
      severity: "error",
      from: { path: "^src/kindling/open-kindling\\.ts$" },
      to: { reachable: true, path: "^(workers|src/(admin|http))/|node_modules/(hono|@hono|jiti|commander)/" },
    },
    { name: "http-starts-no-worker", severity: "error", from: { path: "^src/http/" }, to: { path: "^workers/" } },
    {
      name: "reader-stays-small",
      comment: "App servers import the reader: shapes of the cache, flags and errors only.",
      severity: "error",
      from: { path: "^src/reader/" },
      to: { path: "^(src|workers)/", pathNot: "^src/(reader|flags)/|^src/cache/(keys|record)\\.ts$|^src/errors\\.ts$" },
    },
    {
      name: "reader-reaches-no-service-library",
      severity: "error",
      from: { path: "^src/reader/" },
      to: { reachable: true, path: "node_modules/(hono|@hono|bullmq|jose|pino|commander|zod)/|^src/config\\.ts$" },
    },
    {
      name: "flags-files-load-no-service",
      comment: "A flags file imports the package's entry: what createKindling needs is loaded when it is used.",
      severity: "error",
      from: { path: "^src/(index|kindling/create-kindling)\\.ts$" },
      to: {
        path: "^(workers|src/(compose|admin|http|queue|refresh|cache|config|kindling/open-kindling))",
        dependencyTypesNot: ["dynamic-import", "type-only"],
      },
    },
    {
      name: "emulator-is-a-stranger",
      comment: "The emulator must not share code with what it is there to test.",
      severity: "error",
      from: { path: "^src/emulator/" },
      to: { path: "^(src|workers)/", pathNot: "^src/emulator/|^src/errors\\.ts$" },
    },
    { name: "src-knows-no-test", severity: "error", from: { path: "^(src|workers)/" }, to: { path: "^(test|bench)/" } },
    {
      name: "no-dev-dependency-in-product",
      comment: "redis-memory-server is the last resort of the embedded Redis, which only a checkout starts.",
      severity: "error",
      from: { path: "^(src|workers)/", pathNot: "^src/admin/embedded-redis\\.ts$" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"], dependencyTypesNot: ["type-only"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
