import {
  ErrorCode,
  type EvaluationContext,
  type FlagMetadata,
  type JsonValue,
  OpenFeatureEventEmitter,
  type Provider,
  ProviderEvents,
  type ResolutionDetails,
  StandardResolutionReasons,
} from "@openfeature/server-sdk";
import { isUserId } from "../profile.ts";
import { answerWithoutUser } from "../reader/compose-answer.ts";
import type { Reader, ReadResult } from "../reader/types.ts";

/**
 * Options for {@link createOpenFeatureProvider}.
 *
 * @typeParam V Flag values by name
 */
export interface OpenFeatureProviderOptions<V extends Record<string, unknown>> {
  /** What `createKindling` returned. Your app closes it. */
  reader: Reader<V>;
  /** Age in milliseconds beyond which a value's reason is `STALE`, and a refresh is requested. Default: any age. */
  maxAge?: number;
  /** How often to look whether an unavailable Redis is back, in milliseconds. Default 1,000. */
  probeMs?: number;
}

/**
 * Creates an OpenFeature provider over a reader. The evaluation context names the user: `targetingKey` is Kinde's user id,
 * `organization` the code of the organization the user acts in, for flags that depend on it.
 *
 * It emits `PROVIDER_STALE` when Redis stops answering and `PROVIDER_READY` when it is back.
 *
 * @example
 * ```ts
 * import { OpenFeature } from "@openfeature/server-sdk";
 * import { createOpenFeatureProvider } from "kindling/openfeature";
 *
 * await OpenFeature.setProviderAndWait(createOpenFeatureProvider({ reader }));
 * const client = OpenFeature.getClient();
 * const onboarded = await client.getBooleanValue("onboarded", false, { targetingKey: "kp_0123456789abcdef" });
 * ```
 */
export function createOpenFeatureProvider<V extends Record<string, unknown>>(
  options: OpenFeatureProviderOptions<V>,
): Provider {
  const { reader, maxAge = Number.POSITIVE_INFINITY, probeMs = 1_000 } = options;
  const { definitions } = reader;
  const nobody = answerWithoutUser(definitions);
  const events = new OpenFeatureEventEmitter();
  let probe: ReturnType<typeof setInterval> | undefined;
  let closed = false;

  const stopProbing = () => {
    clearInterval(probe);
    probe = undefined;
  };
  const note = (isAvailable: boolean, userId: string) => {
    if (closed || isAvailable === (probe === undefined)) return;
    if (isAvailable) {
      stopProbing();
      events.emit(ProviderEvents.Ready, { message: "Redis answers again." });
      return;
    }
    // The same user: what is not a user id can be answered without a question to anyone.
    const look = async () => note((await reader.get(userId, { wait: 0 })).status !== "unavailable", userId);
    probe = setInterval(look, probeMs);
    // Node's timers would keep the process alive.
    Object(probe).unref?.();
    events.emit(ProviderEvents.Stale, { message: "Redis does not answer." });
  };

  const resolve = async <T extends JsonValue>(
    name: string,
    fallback: T,
    { targetingKey, organization }: EvaluationContext,
  ): Promise<ResolutionDetails<T>> => {
    if (!Object.hasOwn(definitions.flags, name)) {
      return fail(fallback, ErrorCode.FLAG_NOT_FOUND, `There is no flag "${name}".`);
    }
    const known = typeof targetingKey === "string" && targetingKey !== "";
    const options = { maxAge, ...(typeof organization === "string" && { organization }) };
    const result = known ? await reader.get(targetingKey, options) : nobody;
    if (isUserId(targetingKey)) note(result.status !== "unavailable", targetingKey);
    const value = result.flags[name];
    const denied = result.denied.includes(name);
    const flagMetadata = metadataOf(result, denied);
    if (value !== null && typeof value !== typeof fallback) {
      const message = `The flag "${name}" is a ${typeof value}, not a ${typeof fallback}.`;
      return { ...fail(fallback, ErrorCode.TYPE_MISMATCH, message), flagMetadata };
    }
    // With an error code the SDK would return the caller's default: a deny value must reach the caller.
    const failure = denied ? undefined : failureOf(result, known);
    if (failure !== undefined) return { ...fail(fallback, failure.code, failure.message), flagMetadata };
    const reason = reasonOf(result, maxAge);
    // OpenFeature has no null values. The check above makes this sound.
    if (value === null) return { value: fallback, reason: StandardResolutionReasons.DEFAULT, flagMetadata };
    return { value: value as T, reason, flagMetadata };
  };

  return {
    metadata: { name: "kindling" },
    runsOn: "server",
    events,
    resolveBooleanEvaluation: resolve,
    resolveStringEvaluation: resolve,
    resolveNumberEvaluation: resolve,
    resolveObjectEvaluation: resolve,
    async onClose() {
      closed = true;
      stopProbing();
    },
  };
}

type Outcome = Pick<ReadResult<unknown>, "status" | "source" | "age"> & { cached?: true };

function reasonOf({ status, age, cached }: Outcome, maxAge: number): string {
  if (status !== "present") return StandardResolutionReasons.DEFAULT;
  if (age !== null && age > maxAge) return StandardResolutionReasons.STALE;
  return cached === true ? StandardResolutionReasons.CACHED : StandardResolutionReasons.TARGETING_MATCH;
}

function failureOf({ status }: Outcome, known: boolean) {
  if (!known) return { code: ErrorCode.TARGETING_KEY_MISSING, message: "The context has no targetingKey (a user id)." };
  if (status === "unavailable") return { code: ErrorCode.GENERAL, message: "Redis does not answer." };
  if (status === "invalid") return { code: ErrorCode.PARSE_ERROR, message: "The user's record is corrupt." };
  return undefined;
}

function metadataOf({ status, source, age }: Outcome, denied: boolean): FlagMetadata {
  return { status, source, denied, ...(age === null ? {} : { ageMs: age }) };
}

function fail<T>(value: T, errorCode: ErrorCode, errorMessage: string): ResolutionDetails<T> {
  return { value, reason: StandardResolutionReasons.ERROR, errorCode, errorMessage };
}
