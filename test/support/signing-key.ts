import { exportJWK, generateKeyPair, type JWK } from "jose";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    signingKey: JWK;
  }
}

/** Creates one RSA key for all emulators, because generating one takes longer than most tests. */
export default async function setup(project: TestProject) {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  project.provide("signingKey", await exportJWK(privateKey));
}
