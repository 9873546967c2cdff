import { type Definitions, KindlingError, type Reader, type Writer } from "kindling";
import { acceptValues, announceWrites, isUserId } from "kindling/contract";
import { loadConfig } from "../config.ts";
import { RedisError } from "../errors.ts";
import { createFetch, type Fetch } from "../fetch.ts";
import { createLog } from "../log.ts";
import { parsePropertyValues } from "../refresh/property-values.ts";
import { openStore } from "../store.ts";
import { createFlows } from "./create-flows.ts";

/** Options for {@link createWriter}. */
export interface InProcessWriterOptions<V extends Record<string, unknown>> {
  /** The default export of the flags file. */
  definitions: Definitions<V>;
  /** Settings by name, the same as those of the workers: `KINDE_DOMAIN`, `REDIS_URL`, … Default: the environment. */
  env?: Readonly<Record<string, string | undefined>>;
  /** A reader of this process that caches: it never answers with a value from before a write. */
  reader?: Pick<Reader<V>, "observe">;
  /** Sends requests to Kinde; the global `fetch` is one. Default: a pool of connections. */
  fetch?: Fetch;
}

/** A {@link Writer} that holds a connection to Redis. */
export interface InProcessWriter<V> extends Writer<V> {
  /** Disconnects from Redis. Later writes reject with the code `closed`. */
  close(): Promise<void>;
}

/**
 * Creates a writer that sets properties from this process, without Kindling's HTTP API. It needs the same settings as the
 * workers, including Kinde's credentials, and a Redis user with write access. It connects at the first write. It logs
 * nothing; errors are thrown.
 *
 * @example
 * ```ts
 * import { createWriter } from "kindling-server";
 * import definitions from "./kindling.flags.js";
 *
 * const writer = createWriter({ definitions });
 * const { flags } = await writer.setProperties("kp_0123456789abcdef", { onboarded: true });
 * await writer.close();
 * ```
 */
export function createWriter<V extends Record<string, unknown>>(
  options: InProcessWriterOptions<V>,
): InProcessWriter<V> {
  let opening: Promise<Opened> | undefined;
  let closed = false;
  const open = () => {
    if (closed) throw new KindlingError("closed", "The writer is closed: create a new one.");
    opening ??= openWriter(options).catch((error: unknown) => {
      // Lets the next call connect again.
      opening = undefined;
      throw error;
    });
    return opening;
  };
  const writer: Writer<V> = {
    async setProperties(userId, properties, { refreshClaims = false, signal = new AbortController().signal } = {}) {
      const { store, setProperties } = await open();
      store.foreign.throwIfAborted();
      if (!isUserId(userId)) {
        throw new KindlingError("request_malformed", "Invalid user id: it must be kp_ followed by letters and digits.");
      }
      const call = { priority: "webhook", refreshClaims, signal } as const;
      try {
        const record = await setProperties(userId, parsePropertyValues(properties), call);
        const flags = acceptValues(options.definitions, record);
        return { flags, ticket: record.ticket, fetchedAt: record.fetchedAt };
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof KindlingError) throw error;
        throw new RedisError("redis_unavailable", "Redis does not answer, so nothing was set: try again.", {
          cause: error,
        });
      }
    },
  };
  return {
    ...(options.reader === undefined ? writer : announceWrites(writer, options.reader)),
    async close() {
      closed = true;
      const opened = await opening?.catch(() => undefined);
      opening = undefined;
      await opened?.store.close();
    },
  };
}

type Opened = Awaited<ReturnType<typeof openWriter>>;

async function openWriter({
  definitions,
  env,
  fetch = createFetch(),
}: Omit<InProcessWriterOptions<Record<string, unknown>>, "reader">) {
  const config = loadConfig(env);
  const world = { fetch, now: Date.now };
  const store = await openStore(config, world, createLog("silent"));
  const { setProperties } = createFlows({ config, world, store, definitions });
  return { store, setProperties };
}
