import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { Agent, type Dispatcher } from "undici";

/** Sends one HTTP request: the part of the global `fetch` that the service uses, so that this function is one too. */
export type Fetch = (url: string, request?: FetchRequest) => Promise<FetchAnswer>;

/** A request as `fetch` takes it. */
export interface FetchRequest {
  method?: "GET" | "POST" | "PATCH" | "DELETE";
  headers?: Record<string, string>;
  body?: string;
  /** `error`: a redirect is an error; `manual`: it is the answer. */
  redirect: "error" | "manual";
  signal: AbortSignal;
}

/** What the service reads of an answer. */
export interface FetchAnswer {
  readonly status: number;
  readonly ok: boolean;
  readonly headers: { get(name: string): string | null };
  /** Decoded, in chunks. Leaving the loop over them, or `cancel`, closes the connection if more is to come. */
  readonly body: (AsyncIterable<Uint8Array> & { cancel(): Promise<void> }) | null;
}

/** Unread bytes of a body at which the connection stops receiving. */
const mostUnread = 256 * 1024;
/** Connections to one host. Further requests wait for a free one: each connection takes memory, even if idle. */
const mostConnections = 100;

/**
 * Creates a {@link Fetch} with a pool of connections. It takes a seventh of the processor time of the global `fetch`, which
 * builds web streams and header objects for every call. Connections close when they have been idle for a few seconds.
 */
export function createFetch(): Fetch {
  const agent = new Agent({ connections: mostConnections });
  return (url, request = { redirect: "error", signal: new AbortController().signal }) =>
    new Promise((resolve, reject) => {
      const { method = "GET", headers = {}, body = null, signal } = request;
      if (signal.aborted) return reject(signal.reason);
      const exchange = new Exchange(request, resolve, reject);
      agent.dispatch({ ...splitUrl(url), method, headers, body }, exchange);
    });
}

// `URL` takes longer than all else here. undici checks both parts.
function splitUrl(url: string): { origin: string; path: string } {
  const end = url.slice(8).search(/[/?#]/) + 8;
  if (end < 8) return { origin: url, path: "/" };
  const [path = ""] = url.slice(end).split("#", 1);
  return { origin: url.slice(0, end), path: path.startsWith("/") ? path : `/${path}` };
}

function textOf(header: string | string[] | undefined): string | null {
  return header === undefined ? null : String(header);
}

/** A request, and the body of its answer while it is received. One object, as every call to Kinde needs one. */
class Exchange implements Dispatcher.DispatchHandler, AsyncIterable<Uint8Array> {
  readonly #request: FetchRequest;
  readonly #resolve: (answer: FetchAnswer) => void;
  readonly #reject: (error: unknown) => void;
  readonly #chunks: Uint8Array[] = [];
  #unread = 0;
  #state: "receiving" | "ended" | "failed" = "receiving";
  #error: unknown;
  #controller: Dispatcher.DispatchController | undefined;
  #wake: (() => void) | undefined;

  constructor(request: FetchRequest, resolve: (answer: FetchAnswer) => void, reject: (error: unknown) => void) {
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
    request.signal.addEventListener("abort", this);
  }

  /** Called when the signal aborts. */
  handleEvent(): void {
    this.#fail(this.#request.signal.reason);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#state === "failed") this.#stop();
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    if (this.#request.redirect === "error" && status >= 300 && status < 400) {
      throw new Error("The answer is a redirect.");
    }
    this.#resolve({
      status,
      ok: status < 300,
      headers: { get: (name) => textOf(headers[name]) },
      body: textOf(headers["content-encoding"]) === "gzip" ? unpack(this) : this,
    });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#unread += chunk.byteLength;
    if (this.#unread > mostUnread) this.#controller?.pause();
    this.#wake?.();
  }

  onResponseEnd(): void {
    this.#end("ended");
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#state === "receiving") this.#error = error;
    this.#end("failed");
    this.#reject(this.#error);
  }

  async cancel(): Promise<void> {
    // An error costs its stack trace.
    if (this.#state === "receiving") this.#fail(new Error("The body is not read."));
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return {
      next: () => this.#next(),
      return: async () => {
        await this.cancel();
        return { done: true, value: undefined };
      },
    };
  }

  async #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      const value = this.#chunks.shift();
      if (value !== undefined) {
        this.#unread -= value.byteLength;
        return { done: false, value };
      }
      if (this.#state === "failed") throw this.#error;
      if (this.#state === "ended") return { done: true, value: undefined };
      if (this.#controller?.paused) this.#controller.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #fail(error: unknown): void {
    if (this.#state !== "receiving") return;
    this.#error = error;
    this.#end("failed");
    this.#reject(error);
    this.#stop();
  }

  #end(state: "ended" | "failed"): void {
    if (this.#state !== "receiving") return;
    this.#state = state;
    this.#request.signal.removeEventListener("abort", this);
    this.#wake?.();
  }

  #stop(): void {
    const reason = this.#error;
    this.#controller?.abort(reason instanceof Error ? reason : new Error("aborted", { cause: reason }));
  }
}

function unpack(body: Exchange): FetchAnswer["body"] {
  // Errors reach the reader through the stream itself.
  const unpacked = pipeline(Readable.from(body), createGunzip(), () => undefined);
  const cancel = async () => {
    unpacked.destroy();
    await body.cancel();
  };
  return Object.assign(unpacked, { cancel });
}
