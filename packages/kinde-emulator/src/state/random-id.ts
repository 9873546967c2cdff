import { randomBytes, randomUUID } from "node:crypto";

/** Ids in Kinde's forms. */
export const newId = {
  user: () => `kp_${randomBytes(16).toString("hex")}`,
  organization: () => `org_${randomBytes(6).toString("hex").slice(0, 11)}`,
  event: () => `event_${randomBytes(16).toString("hex")}`,
  webhook: () => `webhook_${randomBytes(16).toString("hex")}`,
  delivery: () => `msg_${randomBytes(14).toString("hex")}`,
  property: () => `prop_${randomBytes(16).toString("hex")}`,
  agreement: () => `agreement_${randomBytes(16).toString("hex")}`,
  role: () => randomUUID(),
  permission: () => randomUUID(),
};

/** A user's billing customer; one can be found from the other. */
export const customerIdOf = (userId: string): string => `customer_${turned(userId.slice(3))}`;
export const userIdOfCustomer = (customerId: string): string => `kp_${turned(customerId.slice("customer_".length))}`;

const turned = (hex: string) => hex.slice(16) + hex.slice(0, 16);
