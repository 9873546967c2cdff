import cliProgress, { type Params } from "cli-progress";
import type { Place } from "../refresh/bookmark.ts";
import { countWords, durationWords, instantWords, plural } from "../words.ts";
import type { Output } from "./terminal.ts";

/** Shows how a walk goes on. */
export interface Progress {
  /** @param from where an earlier walk left off */
  start(from: Place | undefined): void;
  update(done: number, total: number | undefined, calls?: number): void;
  /** The walk waits for workers, or for Kinde. */
  waiting(what: "workers" | "Kinde", ms: number): void;
  stop(): void;
}

/** How often a stream that is no terminal gets a line, in milliseconds. */
const lineEveryMs = 10_000;

interface State {
  done: number;
  total: number | undefined;
  calls: number | undefined;
  waiting: string;
  startedAt: number;
  startedWith: number;
}

/** A bar on a terminal; elsewhere a line now and then. */
export function createProgress(output: Output, now: () => number): Progress {
  const state: State = { done: 0, total: undefined, calls: undefined, waiting: "", startedAt: now(), startedWith: 0 };
  const view = output.isTTY === true ? createBar(output, state, now) : createLines(output, state, now);
  return {
    start(from) {
      Object.assign(state, { done: from?.enqueued ?? 0, startedWith: from?.enqueued ?? 0, startedAt: now() });
      if (from !== undefined) {
        const since = instantWords(from.startedAt);
        output.write(`Going on after ${countWords(from.enqueued)} users of ${since} (--restart starts anew).\n`);
      }
      view.start();
    },
    update(done, total, calls) {
      Object.assign(state, { done, total, calls, waiting: "" });
      view.show();
    },
    waiting(what, ms) {
      state.waiting = what === "workers" ? "waiting for workers" : `waiting ${durationWords(ms)} for Kinde`;
      view.show();
    },
    stop: () => view.stop(),
  };
}

interface View {
  start(): void;
  show(): void;
  stop(): void;
}

function createBar(output: Output, state: State, now: () => number): View {
  // The cursor and line wrapping are left alone, so that even a kill leaves the terminal as it was.
  const bar = new cliProgress.SingleBar({
    stream: output,
    format: (options, params: Params) => {
      const drawn = state.total === undefined ? "" : `${cliProgress.Format.BarFormat(params.progress, options)} `;
      return drawn + progressWords(state, now());
    },
    barsize: 24,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    hideCursor: null,
    linewrap: true,
    gracefulExit: false,
  });
  return {
    start: () => bar.start(1, 0),
    show() {
      bar.setTotal(Math.max(1, state.total ?? state.done));
      bar.update(state.done);
    },
    stop: () => bar.stop(),
  };
}

function createLines(output: Output, state: State, now: () => number): View {
  let last = now();
  return {
    start: () => undefined,
    show() {
      if (now() - last < lineEveryMs) return;
      last = now();
      output.write(`${progressWords(state, now())}\n`);
    },
    stop: () => undefined,
  };
}

function progressWords({ done, total, calls, waiting, startedAt, startedWith }: State, now: number): string {
  const perSecond = ((done - startedWith) * 1000) / Math.max(1, now - startedAt);
  const words = [total === undefined ? `${countWords(done)} users` : share(done, total)];
  if (perSecond > 0) words.push(`${countWords(perSecond)}/s`);
  if (calls !== undefined) words.push(plural(calls, "call"));
  if (perSecond > 0 && total !== undefined && total > done) {
    words.push(`${durationWords(((total - done) / perSecond) * 1000)} left`);
  }
  if (waiting !== "") words.push(waiting);
  return words.join(" · ");
}

function share(done: number, total: number): string {
  const percent = Math.floor((done / Math.max(1, total)) * 100);
  return `${percent}% · ${countWords(done)} of ${done === total ? "" : "about "}${countWords(total)} users`;
}
