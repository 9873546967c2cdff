import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^kindling\/reader$/, replacement: root("./src/reader/index.ts") },
      { find: /^kindling$/, replacement: root("./src/index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/redis-server.ts", "test/support/signing-key.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Files wait more than they compute: three at a time are what two cores carry.
    maxWorkers: 3,
  },
});
