import { randomBytes, randomUUID } from "node:crypto";

/** Hashes 32 bits so that adjacent inputs give unrelated outputs. */
export function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Returns a reproducible generator of numbers in [0, 1). */
export function createRandom(seed: number): () => number {
  let state = mix(seed + 0x9e3779b9);
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    return mix(state) / 0x1_0000_0000;
  };
}

const hex = (bytes: number) => randomBytes(bytes).toString("hex");

/** Random ids in Kinde's formats. */
export const newId = {
  user: () => `kp_${hex(16)}`,
  organization: () => `org_${hex(6).slice(0, 11)}`,
  event: () => `event_${hex(16)}`,
  webhook: () => `webhook_${hex(16)}`,
  delivery: () => `msg_${hex(14)}`,
  property: () => `prop_${hex(16)}`,
  clientId: () => hex(16),
  clientSecret: () => hex(24),
  session: () => hex(32),
  sessionId: () => `session_${hex(16)}`,
  invitation: () => `inv_${hex(16)}`,
  code: () => hex(32),
  refreshToken: () => hex(48),
  category: () => `category_${hex(16)}`,
  flag: () => `feature_flag_${hex(16)}`,
  agreement: () => `agreement_${hex(16)}`,
  role: () => randomUUID(),
  permission: () => randomUUID(),
};
