import { isDeepStrictEqual } from "node:util";
import type { Definitions } from "kindling";
import type { Agreement } from "kindling/contract";
import { concernsOne } from "../kinde/answers.ts";
import { patienceOfManyMs } from "../kinde/call-budget.ts";
import { fetchAgreements } from "../kinde/fetch-user.ts";
import { heldParts, withHeldParts } from "../kinde/keep-parts.ts";
import { listDetails } from "../kinde/list-details.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Records, ScanPlace } from "../redis/records.ts";
import { findFlagDifference } from "./compare-flags.ts";
import type { CompareGrantsStep } from "./compare-grants.ts";
import type { ComparedUser, Disputes } from "./disputes.ts";

/** Dependencies of {@link comparePlansStep}. */
export interface ComparePlansOptions {
  api: ManagementApi;
  records: Pick<Records, "scanIds" | "readMany">;
  disputes: Disputes;
  definitions: Definitions;
  now: () => number;
}

/** One call lists so many users. More would make steps long, because each billing customer of a page takes a call. */
const scanCount = 100;
/** Customers of one page that Kinde does not answer about. More of them are an outage. */
const mostUnanswered = 5;

/**
 * Compares the plans of the users on one page of records. The list of users shows who is a billing customer; Kinde lists
 * agreements by customer only. Customers that Kinde does not answer about must not end the walk: they are refreshed, which
 * reports the failure.
 */
export async function comparePlansStep(
  options: ComparePlansOptions,
  place: ScanPlace,
  call: CallOptions,
): Promise<Omit<CompareGrantsStep, "reads">> {
  const { api, records, disputes, definitions, now } = options;
  // If it begins again, some users are compared twice, which is harmless.
  const page = await records.scanIds(place, scanCount);
  const stored = (await records.readMany(page.userIds)).flatMap(({ flags, profile }) =>
    flags?.status === "present" && profile !== undefined ? { flags, profile } : [],
  );
  const listed = await listDetails(
    api,
    stored.map(({ profile }) => profile.id),
    call,
  );
  const compared: ComparedUser[] = [];
  let unanswered = 0;
  const plansOf = async (customerId: string) => {
    try {
      return await fetchAgreements(api, customerId, { ...call, patienceMs: patienceOfManyMs, now });
    } catch (error) {
      unanswered += 1;
      if (!concernsOne(error) || unanswered > mostUnanswered) throw error;
      return undefined;
    }
  };
  for (const { flags, profile } of stored) {
    const details = listed.get(profile.id);
    // The sweep decides what becomes of users that Kinde does not list.
    if (details === undefined) continue;
    const { customerId } = details;
    const kept = heldParts(profile).has("billing");
    const other = kept && customerId !== profile.billing.customerId;
    const agreements = other ? undefined : customerId === null ? [] : await plansOf(customerId);
    if (agreements === undefined) {
      compared.push({ userId: profile.id, different: true, ...(other && { listed: customerId }) });
      continue;
    }
    const view = withHeldParts({ ...profile, billing: { customerId, agreements } }, ["billing"]);
    const different = kept
      ? !isDeepStrictEqual(textsOf(profile.billing.agreements), textsOf(agreements))
      : findFlagDifference(definitions, flags, view) !== undefined;
    compared.push({ userId: profile.id, different, listed: [customerId, textsOf(agreements)] });
  }
  const { refresh, disputed } = await disputes.settle(compared);
  return {
    refresh,
    compared: compared.length,
    different: compared.filter(({ different }) => different).length - disputed.length,
    disputed: disputed.length,
    cursor: page.cursor,
    runId: page.runId,
  };
}

function textsOf(agreements: readonly Agreement[]): string[] {
  return agreements.map(({ id, planCode }) => `${id}\n${planCode}`).sort();
}
