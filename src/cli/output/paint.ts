import picocolors from "picocolors";
import type { Output, Terminal } from "../terminal.ts";

/** The few colours that mean something: green fine, yellow look here, red failed; dim is detail, bold a heading. */
export type Paint = Record<"good" | "notice" | "bad" | "dim" | "bold", (text: string | number) => string>;

/** Colours for a stream: on a terminal only, and none where `NO_COLOR` is set (https://no-color.org). */
export function createPaint({ env }: Terminal, output: Output): Paint {
  const wanted = output.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
  const { green, yellow, red, dim, bold } = picocolors.createColors(wanted);
  return { good: green, notice: yellow, bad: red, dim, bold };
}
