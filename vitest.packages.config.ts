import { configDefaults, mergeConfig } from "vitest/config";
import base from "./vitest.config.ts";

// npm run test:packages: the packages as they are published, built, packed and installed in empty projects.
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: configDefaults.exclude } },
  { test: { include: ["test/packages/*.test.ts"] } },
);
