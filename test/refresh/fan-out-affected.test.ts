import { blankProfile, type ExtraPart, type Profile, type ProfilePart, profileParts } from "kindling/contract";
import { expect, it } from "vitest";
import { keepParts } from "../../src/kinde/keep-parts.ts";
import { createFanOut, type FanOutOptions } from "../../src/refresh/fan-out.ts";
import type { FanoutSubject } from "../../src/refresh/queues.ts";

const call = { priority: "webhook", signal: new AbortController().signal } as const;

const unexpected = () => Promise.reject(new Error("Unexpected call."));

/** A fan-out over these records, by default with a setting that keeps every part by now. */
const fanOutOver = (profiles: Profile[], fetching: string[] = [], setting: Partial<FanOutOptions> = {}) =>
  createFanOut({
    api: { get: unexpected, send: unexpected },
    records: {
      scan: async ({ cursor }) => ({ cursor: cursor === "0" ? "1" : "0", profiles, runId: "", beganAgain: false }),
    },
    definitions: { mayNeed: () => true },
    keep: new Set(profileParts),
    organizations: { forget: async () => {}, doubt: async () => {} },
    noteGrantChange: async () => {},
    activeUsers: async () => fetching,
    ...setting,
  });

/** Returns whether a fan-out over the records includes this one. */
async function includes(subject: FanoutSubject, profile: Profile): Promise<boolean> {
  const { userIds } = await fanOutOver([profile])(subject, { source: "records", cursor: "0" }, call);
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

it.each<[settings: string, keep: ProfilePart[], read: ExtraPart[], found: string[]]>([
  ["records keep permissions but no roles", ["organizations", "permissions"], [], ["role:r1", "permission:p1"]],
  ["flags alone read permissions", ["organizations"], ["permissions"], ["role:r1", "permission:p1"]],
  ["records keep roles but no permissions", ["organizations", "roles"], [], ["role:r1"]],
  ["nothing needs either", ["organizations", "billing"], ["billing"], []],
])("finds holders if %s", async (_settings, keep, read, found) => {
  const setting = { keep: new Set(keep), definitions: { mayNeed: (part: ExtraPart) => read.includes(part) } };
  const organizations = member.organizations.map((each) => ({ ...each, roles: [{ id: "r1", key: "chief" }] }));
  const fanOut = fanOutOver([keepParts({ ...member, organizations }, setting.keep)], [], setting);
  const subjects = ["role:r1", "permission:p1"] as const;
  const pages = await Promise.all(subjects.map((subject) => fanOut(subject, { source: "records", cursor: "0" }, call)));
  expect(subjects.filter((_, index) => pages[index]?.userIds.length === 1)).toEqual(found);
});

it("includes users who are being fetched when it starts, as they can carry the old state", async () => {
  const fanOut = fanOutOver([], ["kp_2"]);
  const first = await fanOut("permission:p1", undefined, call);
  expect(first.userIds).toEqual(["kp_2"]);
  expect((await fanOut("permission:p1", first.next, call)).userIds).toEqual([]);
});
