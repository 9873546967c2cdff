import { blankProfile, type Profile, type ProfilePart, profileParts } from "kindling/contract";
import { expect, it } from "vitest";
import { keepParts } from "../../src/kinde/keep-parts.ts";
import { createFanOut } from "../../src/refresh/fan-out.ts";
import type { FanoutSubject } from "../../src/refresh/queues.ts";

const call = { priority: "webhook", signal: new AbortController().signal } as const;

/** Returns whether a fan-out over the records includes this one, with a setting that keeps every part by now. */
async function includes(subject: FanoutSubject, profile: Profile): Promise<boolean> {
  const unexpected = () => Promise.reject(new Error("Unexpected call."));
  const fanOut = createFanOut({
    api: { get: unexpected, send: unexpected },
    records: { scan: async () => ({ cursor: "0", profiles: [profile], runId: "" }) },
    definitions: { mayNeed: () => true },
    keep: new Set(profileParts),
    forgetOrganization: async () => {},
    activeUsers: async () => [],
  });
  const { userIds } = await fanOut(subject, { source: "records", cursor: "0" }, call);
  return userIds.length === 1;
}

const member: Profile = {
  ...blankProfile("kp_1"),
  organizations: [{ code: "org_1", roles: [], permissions: [{ id: "p1", key: "admin:access" }] }],
};
const kept = (...keep: ProfilePart[]) => keepParts(member, new Set(keep));

it("includes records written before KINDLING_PROFILE kept the deciding part", async () => {
  expect(await includes("permission:p1", kept("organizations"))).toBe(true);
  expect(await includes("permission:p1", kept())).toBe(true);
  expect(await includes("organization:org_2", kept())).toBe(true);
  // A release that did not note which parts it kept.
  expect(await includes("role:r1", member)).toBe(true);
});

it("leaves out records that hold the deciding part and do not match", async () => {
  const everything = kept(...profileParts);
  expect(await includes("permission:p1", everything)).toBe(true);
  expect(await includes("permission:p2", everything)).toBe(false);
  expect(await includes("role:r1", everything)).toBe(false);
  expect(await includes("organization:org_2", everything)).toBe(false);
});
