import { tierOf, userOf } from "./changes.ts";
import { definitions } from "./definitions.ts";
import type { Scene } from "./scene.ts";
import type { Step } from "./schedule.ts";
import { openReader } from "./sim/deployment.ts";

type Operation = (scene: Scene, step: Step) => void;

const call = () => ({ priority: "webhook", signal: new AbortController().signal }) as const;

/** What apps and operators do with Kindling. Nothing waits for them. */
export const operations = {
  write: (scene, step) => {
    const { server, timeline, watcher } = scene;
    const id = userOf(scene, step);
    const { ready } = server;
    if (id === undefined || ready === undefined) return;
    const tier = tierOf(step.choice);
    const began = timeline.now;
    watcher.noteAttempt(id);
    const run = async () => {
      try {
        await ready.flows.setProperties(id, { plan_tier: tier }, call());
        watcher.noteWrite(id, tier, began);
      } catch {
        // The caller is told, and the ledger holds the user if Kinde can have the values.
      }
    };
    timeline.after(0, () => void run(), server.actor);
  },
  /** An admin changes the same property while an app writes it. */
  contest: (scene, step) => {
    operations.write(scene, step);
    const id = userOf(scene, step);
    if (id === undefined || scene.kinde.actions.user(id) === undefined) return;
    scene.timeline.outside(1000 * (step.choice % 400), () => {
      if (scene.kinde.actions.user(id) === undefined) return;
      scene.kinde.change((actions) => {
        actions.setProperties(id, { plan_tier: tierOf(step.choice + 1) });
        actions.updateUser(id, { lastName: `A${step.choice}` });
      });
    });
  },
  sweep: ({ server, timeline }) => {
    const { ready } = server;
    if (ready === undefined) return;
    timeline.after(0, () => void ready.store.queues.enqueueSweep().catch(() => undefined), server.actor);
  },
  /** A user is active: workers compare the record with what Kinde lists, at once and then again. */
  checkRecent: (scene, step) => {
    const { server, timeline } = scene;
    const id = userOf(scene, step);
    const { ready } = server;
    if (ready === undefined || id === undefined) return;
    const { recentUsers, queues } = ready.store;
    const run = async () => {
      recentUsers.note([id]);
      await recentUsers.flush();
      await queues.enqueueRecentChecks().catch(() => undefined);
    };
    timeline.after(0, () => void run(), server.actor);
  },
  reprocess: (scene, step) => {
    const { server, timeline } = scene;
    const id = userOf(scene, step);
    const { ready } = server;
    if (ready === undefined || id === undefined) return;
    const queue = step.choice % 2 === 0 ? "refresh" : "bulk";
    timeline.after(0, () => void ready.store.queues.enqueueReprocess([id], queue).catch(() => undefined), server.actor);
  },
  /**
   * Grants change without an event, while a refresh that no event caused finds the change and a sign-in is fetched, which
   * keeps the grants of the record. In whatever order the two commit, the change must not get lost.
   */
  cross: (scene, step) => {
    const { kinde, deliveries, organizations, permissions, watcher } = scene;
    const id = userOf(scene, step);
    const code = id === undefined ? undefined : kinde.actions.user(id)?.organizations[0]?.code;
    if (id === undefined || code === undefined || !organizations.includes(code)) return;
    watcher.noteCrossing();
    deliveries.muted = true;
    const granted = permissions.filter((_, index) => ((step.choice >> index) & 1) === 1);
    kinde.change((actions) => actions.setPermissions(id, code, granted));
    deliveries.muted = false;
    const refresh = () => operations.reprocess(scene, step);
    if (step.choice % 2 === 0) refresh();
    kinde.change((actions) => actions.signIn(id));
    if (step.choice % 2 === 1) refresh();
  },
  /** An app server reads, and asks for a refresh if the record is too old. */
  read: (scene, step) => {
    const { timeline, watcher } = scene;
    const id = userOf(scene, step);
    if (id === undefined) return;
    const app = timeline.createActor(`app-${timeline.now}`);
    const run = async () => {
      const reader = openReader(definitions);
      for (let left = 2; left > 0; left -= 1) {
        const options = step.choice % 2 === 0 ? {} : { maxAge: 500, wait: 1_500 };
        const { flags, denied, status } = await reader.get(id, options);
        watcher.judgeRead(id, { banned: flags.banned, denied, status });
      }
      app.alive = false;
      scene.network.abandon(app);
    };
    timeline.after(0, () => void run(), app);
  },
} satisfies Record<string, Operation>;
