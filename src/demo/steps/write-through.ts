import { bob } from "../cast.ts";
import { showReader } from "../lookups.ts";
import { expectEqual } from "../mismatch.ts";
import { spent } from "../narrator.ts";
import type { Step } from "../step.ts";

/** A property is set through Kindling: no webhook tells of it, and none is needed. */
export const writeThrough: Step = {
  title: "An app sets onboarded=true: Kinde sends no webhook for that",
  async run(stage) {
    const { writer, reader, narrator, kinde } = stage;
    const deliveries = kinde.deliveries.list().length;
    expectEqual("Bob onboarded before", (await reader.get(bob.id)).flags.onboarded, false);
    narrator.say("Bob has seen the welcome page. The app says so, through Kindling, and gets his new flags:");
    const started = performance.now();
    const { flags } = await writer.setProperties(bob.id, { onboarded: true });
    const took = performance.now() - started;
    const next = await reader.get(bob.id);
    expectEqual("Bob onboarded at the very next read", next.flags.onboarded, true);
    narrator.show(`writer.setProperties("${bob.id}", { onboarded: true })`, JSON.stringify(flags));
    narrator.say("The very next read, in any app server:");
    await showReader(stage, bob.id);
    expectEqual("Bob's property in Kinde", kinde.kinde.user(bob.id)?.properties.onboarded, "true");
    expectEqual("Webhooks delivered meanwhile", kinde.deliveries.list().length - deliveries, 0);
    return `set in Kinde and right for every reader after ${spent(took)}, with no webhook at all`;
  },
};
