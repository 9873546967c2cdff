import { expectEqual, showReader } from "../checks.ts";
import { spent } from "../narrator.ts";
import { bob, type Step } from "../stage.ts";

/** Properties set through Kindling are visible immediately, without a webhook. */
export const writeThrough: Step = {
  title: "An app sets a property",
  async run(stage) {
    const { writer, reader, narrator, kinde } = stage;
    const deliveries = kinde.deliveries.list().length;
    expectEqual("Bob's flag before the write", (await reader.get(bob.id)).flags.onboarded, false);
    narrator.say("Bob finishes onboarding. The app writes through Kindling and gets his new flags back:");
    const started = performance.now();
    const { flags } = await writer.setProperties(bob.id, { onboarded: true });
    const took = performance.now() - started;
    const next = await reader.get(bob.id);
    expectEqual("Bob's flag at the next read", next.flags.onboarded, true);
    narrator.show(`writer.setProperties("${bob.id}", { onboarded: true })`, JSON.stringify(flags));
    narrator.say("The next read, in any app server:");
    await showReader(stage, bob.id);
    expectEqual("Bob's property in Kinde", kinde.kinde.user(bob.id)?.properties.onboarded, "true");
    expectEqual("Webhooks sent meanwhile", kinde.deliveries.list().length - deliveries, 0);
    return `Saved in Kinde, visible to every reader after ${spent(took)}, without a webhook`;
  },
};
