import { fileURLToPath } from "node:url";

/** @type {import("next").NextConfig} */
export default {
  // Modules are above this folder.
  turbopack: { root: fileURLToPath(new URL("../../..", import.meta.url)) },
  experimental: { authInterrupts: true },
  devIndicators: false,
};
