import { durationWords } from "../../words.ts";
import type { Terminal } from "../terminal.ts";

/** Waits shorter than this are not worth a word. */
const noticeableMs = 1_000;

/** Says on standard error that the command waits for the call limit. */
export function sayWaiting({ stderr }: Terminal): (ms: number) => void {
  return (ms) => {
    if (ms >= noticeableMs) stderr.write(`Kinde has no room for calls: waiting ${durationWords(ms)} (Ctrl-C stops).\n`);
  };
}
