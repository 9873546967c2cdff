import { mergeConfig } from "vitest/config";
import base from "./vitest.config.ts";

// npm run test:failover: takes minutes, as clusters and Sentinels take seconds to replace a primary.
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  { test: { include: ["test/failover/*.failover.ts"], testTimeout: 180_000, hookTimeout: 60_000, maxWorkers: 1 } },
);
