/** Streams of a page that changes. */
export interface Live {
  /** Opens a stream of server-sent events for an operator; `undefined` if there are too many. */
  open(isAllowed: () => Promise<boolean>): ReadableStream<Uint8Array> | undefined;
  /** Ends all streams. */
  close(): void;
}

/** Options for {@link createLive}. */
export interface LiveOptions {
  /** Renders the content. Called once per interval, for all streams, and not at all without any. */
  render: () => Promise<string>;
  intervalMs?: number;
  /** Streams of this process. */
  maxStreams?: number;
}

interface Stream {
  controller: ReadableStreamDefaultController<Uint8Array>;
  isAllowed: () => Promise<boolean>;
}

/** Rounds between two checks that the sessions still are valid. */
const roundsPerCheck = 5;
const encoder = new TextEncoder();

/** Creates the streams. */
export function createLive({ render, intervalMs = 2_000, maxStreams = 50 }: LiveOptions): Live {
  const streams = new Set<Stream>();
  let timer: NodeJS.Timeout | undefined;
  let rounds = 0;
  let closed = false;

  const drop = (stream: Stream) => {
    if (!streams.delete(stream)) return;
    try {
      stream.controller.close();
    } catch {
      // The browser has closed it.
    }
  };
  const endForbidden = () =>
    Promise.all(
      [...streams].map(async (stream) => {
        if (!(await stream.isAllowed().catch(() => true))) drop(stream);
      }),
    );
  const round = async () => {
    timer = undefined;
    rounds += 1;
    if (rounds % roundsPerCheck === 0) await endForbidden();
    const html = await render();
    const message = encoder.encode(`${html.replace(/^/gm, "data: ")}\n\n`);
    for (const { controller } of streams) {
      // A browser that does not take what was sent gets the next one that it has room for.
      if ((controller.desiredSize ?? 0) > 0) controller.enqueue(message);
    }
    schedule();
  };
  const schedule = () => {
    if (timer === undefined && streams.size > 0 && !closed) timer = setTimeout(() => void round(), intervalMs).unref();
  };

  return {
    open(isAllowed) {
      if (closed || streams.size >= maxStreams) return undefined;
      let stream: Stream;
      return new ReadableStream<Uint8Array>({
        start(controller) {
          stream = { controller, isAllowed };
          streams.add(stream);
          schedule();
        },
        cancel: () => drop(stream),
      });
    },
    close() {
      closed = true;
      clearTimeout(timer);
      for (const stream of streams) drop(stream);
    },
  };
}
