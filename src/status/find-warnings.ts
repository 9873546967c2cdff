import { durationWords, percentWords, plural } from "../words.ts";
import type { Freshness } from "./read-freshness.ts";

/** Something an operator should look at. */
export interface Warning {
  code: "silence" | "webhook_missing" | "webhook_incomplete" | "sweep_failed" | "drift";
  message: string;
}

/** Where to look for them. */
export interface FindWarningsOptions extends Pick<Freshness, "silence" | "webhook" | "audit"> {
  /** Why the last one gave up, if it did. */
  sweep: { failed: { reason: string } | null };
}

/** What is not as it should be, and what to do about it. */
export function findWarnings({ silence, webhook, audit, sweep }: FindWarningsOptions): Warning[] {
  const warnings: Warning[] = [];
  if (webhook?.state === "missing") {
    const message = "Kinde has no webhook of ours: `kindling webhook register <url>` creates it.";
    warnings.push({ code: "webhook_missing", message });
  }
  if (webhook?.state === "incomplete") {
    const types = (webhook.missingTypes ?? []).join(", ");
    const message = `Our webhook is not told ${types}: \`kindling webhook register ${webhook.endpoint}\` repairs it.`;
    warnings.push({ code: "webhook_incomplete", message });
  }
  if (silence?.unusual) {
    const usual = `usual is ${durationWords(silence.usualMs)} at most`;
    const heard = silence.ever ? `No event for ${durationWords(silence.forMs)}` : "No event was ever heard";
    // What Kinde's API does not tell.
    const perhaps =
      webhook?.state === "ok"
        ? " The webhook is there; Kinde may have switched it off: look there, or register --renew."
        : "";
    warnings.push({ code: "silence", message: `${heard}; ${usual}.${perhaps}` });
  }
  if (sweep.failed !== null) {
    const message = `The last sweep gave up: ${sweep.failed.reason} Then \`kindling sweep\`.`;
    warnings.push({ code: "sweep_failed", message });
  }
  if (audit !== null && audit.drifted > 0) {
    const message = `The last audit found ${plural(audit.drifted, "record")} of ${audit.checked} to differ from Kinde, ${percentWords(audit.rate)}.`;
    warnings.push({ code: "drift", message });
  }
  return warnings;
}
