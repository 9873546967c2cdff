import type { Duplex } from "node:stream";
import type { ReadResult, Subscriber, UserClaims } from "kindling";
import { etagOf } from "./answer.ts";
import type { FlagsReader } from "./flags-routes.ts";
import type { StreamSubject } from "./stream-keys.ts";

/** Options of {@link Streams.open}. */
export interface StreamOptions extends StreamSubject {
  /** `Last-Event-ID`: what the client has seen already. */
  lastEventId: string | undefined;
  /** When the stream must end, in milliseconds since the epoch. */
  expiresAt: number;
  /** Claims of the user's token, which answer until the first record exists. */
  claims?: UserClaims | undefined;
  /** The connection: when it closes, the stream ends, and a client that does not read is disconnected. Absent under a server other than Node's. */
  socket?: Pick<Duplex, "once" | "off" | "destroy"> | undefined;
}

/** The open streams of one process. */
export interface Streams {
  /** Why another stream of this user cannot be opened now; `undefined` if it can. */
  refusal(userId: string): "too_many_streams" | "too_many_streams_of_user" | undefined;
  /** Opens a stream of server-sent events. */
  open(options: StreamOptions): ReadableStream<Uint8Array>;
  size(): number;
  /** Ends all streams. */
  close(): void;
}

/** A connection that hears of commits. */
export type CommitSubscriber = Pick<Subscriber, "on" | "disconnect"> & Required<Pick<Subscriber, "psubscribe">>;

/** Options for {@link createStreams}. */
export interface StreamsOptions {
  /** Opens the connection for Pub/Sub: one for the process, at the first stream. */
  connect: () => CommitSubscriber;
  prefix: string;
  reader: FlagsReader;
  /** Returns the ticket of the user's record, 0 without one. */
  ticketOf: (userId: string) => Promise<number>;
  maxStreams: number;
  heartbeatMs: number;
  /** Milliseconds since the epoch. */
  now: () => number;
  onError: (error: unknown) => void;
}

interface Stream extends Omit<StreamOptions, "lastEventId"> {
  controller: ReadableStreamDefaultController<Uint8Array>;
  /** Tag of the values that the client has, or `undefined`. */
  tag: string | undefined;
  /** Set if there was something to send while the connection was busy. */
  behind: boolean;
  /** Set if the connection was busy at the last heartbeat and has taken nothing since. */
  stalled: boolean;
  onClose: () => void;
}

/** Streams that one user can have open in one process: a few tabs on a few devices. */
export const maxStreamsOfUser = 20;
/** Users read again at once after the connection to Redis was lost. */
const batchSize = 100;
const encoder = new TextEncoder();

/**
 * Creates the streams. One subscription serves all of them. A commit of a user with open streams causes one read, and an
 * event is sent only if the values differ from those sent last.
 *
 * An event's id is `<ticket>-<tag>`. A client that comes back with it gets an event only if the values have changed since.
 */
export function createStreams(options: StreamsOptions): Streams {
  const { prefix, reader, ticketOf, maxStreams, heartbeatMs, now, onError } = options;
  const byUser = new Map<string, Set<Stream>>();
  /** Users being read. `true`: another commit came meanwhile. */
  const reading = new Map<string, boolean>();
  /** Users who could not be read: the next heartbeat tries again. */
  const missed = new Set<string>();
  let size = 0;
  let closed = false;
  let subscriber: CommitSubscriber | undefined;
  let subscribed: Promise<unknown> | undefined;
  let heartbeat: NodeJS.Timeout | undefined;

  // Resolves once commits are heard: values that are read after that cannot be missed.
  const subscribe = () => {
    if (subscribed !== undefined) return subscribed;
    const connection = options.connect();
    // ACLs compare patterns literally: this is the one that the documentation grants.
    const listen = () => connection.psubscribe(`${prefix}:commits:*`);
    // A stream that hears of nothing must not look open. Its client comes back, and another attempt is made.
    const fail = (error: unknown) => {
      if (subscriber !== connection) return;
      onError(error);
      disconnect();
      endAll();
    };
    connection.on("pmessage", (_pattern: string, channel: string) => {
      const userId = channel.slice(`${prefix}:commits:{`.length, -1);
      if (byUser.has(userId)) void update(userId);
    });
    let first = true;
    connection.on("ready", () => {
      // Commits during an interruption were not heard.
      if (!first) listen().then(() => updateAll([...byUser.keys()]), fail);
      first = false;
    });
    subscriber = connection;
    heartbeat = setInterval(beat, heartbeatMs);
    subscribed = listen();
    subscribed.catch(fail);
    return subscribed;
  };
  const disconnect = () => {
    clearInterval(heartbeat);
    subscriber?.disconnect();
    subscriber = undefined;
    subscribed = undefined;
  };

  // One chunk can wait in a stream. A client that does not take it gets nothing more, so that it costs no memory.
  const isBusy = ({ controller }: Stream) => (controller.desiredSize ?? 0) <= 0;
  const write = ({ controller }: Stream, text: string) => controller.enqueue(encoder.encode(text));

  const send = (stream: Stream, ticket: number, result: ReadResult<Record<string, unknown>>) => {
    const etag = etagOf(result);
    const tag = etag.slice(3, -1);
    if (stream.tag === tag) return;
    if (isBusy(stream)) {
      stream.behind = true;
      return;
    }
    stream.tag = tag;
    // OFREP's providers refetch on this type; other clients use the values.
    const { flags, status, denied } = result;
    const data = JSON.stringify({ type: "refetchEvaluation", etag, flags, status, denied });
    write(stream, `id: ${ticket}-${tag}\ndata: ${data}\n\n`);
  };

  /** Reads the user once for each organization and sends the values to those of the user's streams that lack them. */
  const update = async (userId: string): Promise<void> => {
    if (reading.has(userId)) {
      reading.set(userId, true);
      return;
    }
    try {
      do {
        reading.set(userId, false);
        // The ticket first: at worst the values are newer than their id says.
        const ticket = await ticketOf(userId);
        const streams = () => [...(byUser.get(userId) ?? [])];
        for (const organization of new Set(streams().map((stream) => stream.organization))) {
          // Without waiting for a refresh: its commit causes the next event.
          const result = await reader.get(userId, { organization, wait: 0 });
          // Until the first record exists, each token answers for itself.
          const isUnknown = result.status === "missing" || result.status === "invalid";
          for (const stream of streams()) {
            if (stream.organization !== organization) continue;
            const { claims } = stream;
            const own =
              isUnknown && claims !== undefined ? await reader.get(userId, { claims, organization, wait: 0 }) : result;
            // Without Redis nothing is known to have changed.
            if (own.status === "unavailable") missed.add(userId);
            else if (byUser.get(userId)?.has(stream)) send(stream, ticket, own);
          }
        }
      } while (reading.get(userId));
    } catch (error) {
      missed.add(userId);
      onError(error);
    } finally {
      reading.delete(userId);
    }
  };

  const updateAll = async (users: readonly string[]) => {
    for (let start = 0; start < users.length; start += batchSize) {
      await Promise.all(users.slice(start, start + batchSize).map(update));
    }
  };

  const beat = () => {
    const again = [...missed].filter((userId) => byUser.has(userId));
    missed.clear();
    void updateAll(again);
    for (const stream of all()) {
      if (stream.expiresAt <= now()) end(stream);
      else if (stream.stalled) abort(stream);
      else if (isBusy(stream)) stream.stalled = true;
      else write(stream, ":\n\n");
    }
  };

  const all = () => [...byUser.values()].flatMap((streams) => [...streams]);

  const remove = (stream: Stream): boolean => {
    const streams = byUser.get(stream.userId);
    if (!streams?.delete(stream)) return false;
    stream.socket?.off("close", stream.onClose);
    size -= 1;
    if (streams.size === 0) byUser.delete(stream.userId);
    return true;
  };

  // What a client does not take cannot be ended politely. An error of the stream's would be printed by Hono's server.
  const abort = (stream: Stream) => {
    if (remove(stream)) stream.socket?.destroy();
  };

  const end = (stream: Stream) => {
    if (remove(stream)) stream.controller.close();
  };
  const endAll = () => {
    for (const stream of all()) end(stream);
  };

  return {
    refusal(userId) {
      if (closed || size >= maxStreams) return "too_many_streams";
      return (byUser.get(userId)?.size ?? 0) >= maxStreamsOfUser ? "too_many_streams_of_user" : undefined;
    },
    open({ lastEventId = "", ...options }) {
      const { userId } = options;
      const [, tag] = /^\d{1,16}-([\w+/=]{1,64})$/.exec(lastEventId) ?? [];
      let stream: Stream | undefined;
      // Not Hono's `streamSSE`: it puts two further streams in between, for each connection.
      return new ReadableStream<Uint8Array>({
        start(controller) {
          const onClose = () => stream !== undefined && remove(stream);
          stream = { ...options, controller, tag, behind: false, stalled: false, onClose };
          // Node does not report the end of an answer that waits behind another, so nothing would cancel the stream.
          options.socket?.once("close", onClose);
          byUser.set(userId, (byUser.get(userId) ?? new Set()).add(stream));
          size += 1;
          // Tells the client and every proxy that the stream is open, and how soon to come back.
          write(stream, "retry: 3000\n\n");
          subscribe().then(
            () => update(userId),
            () => undefined,
          );
        },
        pull() {
          if (stream === undefined) return;
          stream.stalled = false;
          if (!stream.behind) return;
          stream.behind = false;
          void update(userId);
        },
        cancel() {
          if (stream !== undefined) remove(stream);
        },
      });
    },
    size: () => size,
    close() {
      closed = true;
      disconnect();
      endAll();
    },
  };
}
