import cliProgress, { type Params } from "cli-progress";
import type { ProgressEvent, ReportProgress } from "../progress.ts";
import { countWords, durationWords, instantWords, plural } from "../words.ts";
import { note } from "./output.ts";
import type { Output, Terminal } from "./terminal.ts";

/** Displays the progress of one long operation. */
export interface ProgressDisplay {
  report: ReportProgress;
  /** Ends the display and leaves the terminal as it was. */
  stop(): void;
}

/** Interval between lines on a stream that is not a terminal. */
const lineEveryMs = 10_000;

interface State {
  done: number;
  total: number | undefined;
  calls: number | undefined;
  waiting: string;
  startedAt: number;
  startedWith: number;
}

/** Creates a display: a bar on a terminal, otherwise a line every ten seconds. */
export function createProgress(output: Output, now: () => number): ProgressDisplay {
  const state: State = { done: 0, total: undefined, calls: undefined, waiting: "", startedAt: now(), startedWith: 0 };
  const view = output.isTTY === true ? createBar(output, state, now) : createLines(output, state, now);
  let started = false;
  const start = (event: ProgressEvent) => {
    started = true;
    if (event.type === "resumed") {
      Object.assign(state, { done: event.done, startedWith: event.done });
      const since = instantWords(event.startedAt);
      note(
        { stderr: output },
        `Resuming after ${countWords(event.done)} users (run started ${since}; --restart starts over).`,
      );
    }
    view.start();
  };
  return {
    report(event) {
      if (!started) start(event);
      if (event.type === "resumed") return;
      if (event.type === "waiting") {
        state.waiting =
          event.for === "workers" ? "waiting for workers" : `waiting ${durationWords(event.ms)} for Kinde`;
      } else {
        Object.assign(state, { done: event.done, total: event.total, calls: event.calls, waiting: "" });
      }
      view.show();
    },
    stop() {
      if (started) view.stop();
    },
  };
}

/** Runs an operation and displays its progress on standard error. */
export async function withProgress<T>(
  { stderr, world }: Terminal,
  run: (onProgress: ReportProgress) => Promise<T>,
): Promise<T> {
  const display = createProgress(stderr, world.now);
  try {
    return await run(display.report);
  } finally {
    display.stop();
  }
}

interface View {
  start(): void;
  show(): void;
  stop(): void;
}

function createBar(output: Output, state: State, now: () => number): View {
  // Changing the cursor or line wrapping would leave a broken terminal behind if the process is killed.
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
