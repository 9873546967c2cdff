import { fileURLToPath } from "node:url";
import { configDefaults, defineConfig } from "vitest/config";
import { LongFilesFirst } from "./test/support/long-files-first.ts";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    // The workspaces' sources: development needs no build step.
    alias: [
      { find: /^kindling$/, replacement: source("./packages/kindling/src/index.ts") },
      { find: /^kindling\/contract$/, replacement: source("./packages/kindling/src/contract.ts") },
      {
        find: /^kindling\/(sveltekit|next|hono|express|fastify)$/,
        replacement: source("./packages/kindling/src/adapters/$1.ts"),
      },
      { find: /^kindling\/(request|openfeature|testing)$/, replacement: source("./packages/kindling/src/$1.ts") },
      { find: /^kinde-emulator$/, replacement: source("./packages/kinde-emulator/src/index.ts") },
      { find: /^kinde-emulator\/cli$/, replacement: source("./packages/kinde-emulator/src/cli.ts") },
      { find: /^kindling-server$/, replacement: source("./src/index.ts") },
      { find: /^kindling-server\/testing$/, replacement: source("./src/testing.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    // npm run test:packages: builds, packs and installs what is published, which alone takes a fifth of the time of all others.
    exclude: [...configDefaults.exclude, "test/packages/**"],
    globalSetup: ["test/support/redis-server.ts", "test/support/signing-key.ts", "test/support/compiled-cli.ts"],
    setupFiles: ["test/support/nothing-left.ts"],
    // Nets for what hangs: shared machines can be four times slower than a laptop.
    testTimeout: 40_000,
    hookTimeout: 40_000,
    // Files wait about as much as they compute. With more at a time two cores only make each of them slower.
    maxWorkers: 3,
    // Shared runners stall for seconds at a time. A test that fails twice fails.
    retry: process.env.CI ? 1 : 0,
    // Each file has a Redis database and servers of its own. Modules keep no state, so files share a worker's module
    // registry: evaluating it again for each file would double the CPU time of a run.
    isolate: false,
    sequence: { sequencer: LongFilesFirst },
  },
});
