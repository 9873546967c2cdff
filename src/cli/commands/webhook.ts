import { type Command, InvalidArgumentError } from "commander";
import { KindlingError } from "kindling";
import type { Config } from "../../config.ts";
import { KindeError } from "../../errors.ts";
import type { CallOptions } from "../../kinde/management-api.ts";
import { patiently } from "../../kinde/patiently.ts";
import { createWebhooks, type Webhook, type Webhooks } from "../../kinde/webhooks.ts";
import { openKinde } from "../../service/open-kinde.ts";
import type { Store } from "../../store.ts";
import { type CheckWebhookOptions, checkWebhook, isOurs } from "../../webhook/check-registration.ts";
import { type Registered, registerWebhook } from "../../webhook/register.ts";
import { neededEventTypes } from "../../webhook/route-event.ts";
import { plural } from "../../words.ts";
import { parseHttpUrl } from "../arguments.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import { align, createPaint, jsonOption, type Paint, type ReportOptions, report, sayWaiting } from "../output.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const help = `
Kinde does not tell whether it has switched a webhook off (it does after 72 hours of failures):
where events stay away although all looks right, register --renew puts a new one in its place.
The application needs the scopes read:webhooks, create:webhooks, update:webhooks and
delete:webhooks, each for what it says.

Examples:
  kindling webhook list
  kindling webhook register https://kindling.example.com/webhooks/kinde
  kindling webhook register --renew        with KINDLING_WEBHOOK_URL set
  kindling webhook delete event_0123456789abcdef

${exitCodesHelp("list: ours is missing or told too little; delete: there is no such webhook")}`;

/** `kindling webhook list`, `register` and `delete`: the environment's webhooks at Kinde. */
export function addWebhook(program: Command, context: CommandContext): void {
  const webhook = program
    .command("webhook")
    .description("the webhooks at Kinde: list them, register ours, delete one")
    .addHelpText("after", help);
  addList(webhook, context);
  addRegister(webhook, context);
  addDelete(webhook, context);
}

function addList(webhook: Command, { terminal, exitWith }: CommandContext): void {
  webhook
    .command("list")
    .description("all webhooks of the environment, ours marked")
    .option(...jsonOption)
    .action(async (options: ReportOptions) => {
      const { listed, ok } = await withWebhooks(terminal, async ({ webhooks, config, check, call }) => {
        const ours = isOurs(config.webhookUrl);
        const all = (await webhooks.list(call)).map((one) => ({ ...one, ours: ours(one) }));
        return { listed: all, ok: (await check()).state === "ok" };
      });
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, { webhooks: listed }, () => renderList(listed, paint));
      exitWith(ok ? exitCodes.done : exitCodes.found);
    });
}

function addRegister(webhook: Command, { terminal }: CommandContext): void {
  webhook
    .command("register")
    .description("see to it that Kinde tells us all we need: create ours, or repair it")
    .argument("[url]", "where Kinde reaches us; default KINDLING_WEBHOOK_URL", parseHttpUrl)
    .option("--name <name>", "what Kinde lists it as", "Kindling")
    .option("--renew", "replace it by a new one, which Kinde has not switched off")
    .option(...jsonOption)
    .action(
      async (
        given: string | undefined,
        options: ReportOptions & { name: string; renew?: boolean },
        command: Command,
      ) => {
        const { result, unset } = await withWebhooks(terminal, async ({ webhooks, config, needed, check, call }) => {
          const url = given ?? config.webhookUrl;
          if (url === undefined) command.error("error: webhook register takes a URL, or KINDLING_WEBHOOK_URL");
          const wanted = { webhooks, url, name: options.name, needed, renew: options.renew === true };
          const registered = await registerWebhook(wanted, call);
          await check();
          return { result: registered, unset: !isOurs(config.webhookUrl)(registered.webhook) };
        });
        const paint = createPaint(terminal, terminal.stdout);
        report(terminal, options, result, (found) => renderRegistered(found, paint));
        if (unset)
          terminal.stderr.write(`Set KINDLING_WEBHOOK_URL=${result.webhook.endpoint}, so that it is known as ours.\n`);
      },
    );
}

function addDelete(webhook: Command, { terminal }: CommandContext): void {
  webhook
    .command("delete")
    .description("delete a webhook at Kinde")
    .argument("<id>", "id of the webhook, as `kindling webhook list` shows it", parseWebhookId)
    .option(...jsonOption)
    .action(async (id: string, options: ReportOptions) => {
      await withWebhooks(terminal, async ({ webhooks, check, call }) => {
        await webhooks.remove(id, call).catch((error: unknown) => {
          if (!(error instanceof KindeError) || error.code !== "kinde_not_found") throw error;
          throw new KindlingError("webhook_not_found", `Kinde has no webhook ${id}.`, { cause: error });
        });
        await check();
      });
      report(terminal, options, { deleted: id }, () => `Deleted ${id}.`);
    });
}

interface Tools {
  webhooks: Webhooks;
  config: Config;
  /** Event types ours must be told. */
  needed: string[];
  /** Looks again, and notes the result for `kindling status`. */
  check: () => ReturnType<typeof checkWebhook>;
  call: CallOptions;
}

function withWebhooks<T>(terminal: Terminal, task: (tools: Tools) => Promise<T>): Promise<T> {
  return withStore(terminal, async (store: Store, config) => {
    const signal = terminal.stopSignal();
    const call = { priority: "webhook", signal } as const;
    const webhooks = patient(createWebhooks(openKinde(config, terminal.world, store)), terminal);
    const needed = neededEventTypes(config);
    const options: CheckWebhookOptions = { webhooks, url: config.webhookUrl, needed, now: terminal.world.now };
    const check = async () => {
      const found = await checkWebhook(options, call);
      await store.audits.noteWebhook(found);
      return found;
    };
    return task({ webhooks, config, needed, check, call });
  });
}

/** Waits where there is no room for a call. */
function patient(webhooks: Webhooks, terminal: Terminal): Webhooks {
  const wait = <T>(call: () => Promise<T>) =>
    patiently(call, { signal: terminal.stopSignal(), onWait: sayWaiting(terminal) });
  return {
    list: (call) => wait(() => webhooks.list(call)),
    create: (webhook, call) => wait(() => webhooks.create(webhook, call)),
    setEventTypes: (id, types, call) => wait(() => webhooks.setEventTypes(id, types, call)),
    remove: (id, call) => wait(() => webhooks.remove(id, call)),
    eventTypes: (call) => wait(() => webhooks.eventTypes(call)),
  };
}

function parseWebhookId(text: string): string {
  if (/^[\w-]{1,128}$/.test(text)) return text;
  throw new InvalidArgumentError("A webhook's id has letters, digits, _ and - only.");
}

function renderList(webhooks: readonly (Webhook & { ours: boolean })[], paint: Paint): string {
  if (webhooks.length === 0) return paint.notice("Kinde has no webhook: `kindling webhook register <url>` makes ours.");
  const rows = webhooks.map(({ id, name, endpoint, eventTypes, ours }) => [
    id,
    endpoint,
    plural(eventTypes.length, "event type"),
    ours ? paint.good("ours") : "",
    paint.dim(name),
  ]);
  return align(rows, "");
}

function renderRegistered({ action, webhook, added, replaced }: Registered, paint: Paint): string {
  const words = {
    created: "Created",
    repaired: `Now also told ${added.join(", ")}:`,
    renewed: `Replaced ${replaced.join(", ")} by`,
    unchanged: "All is as it should be:",
  };
  return `${words[action]} ${paint.good(webhook.id)}, ${plural(webhook.eventTypes.length, "event type")} to ${webhook.endpoint}.`;
}
