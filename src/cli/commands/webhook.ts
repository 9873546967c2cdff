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
import { documents } from "../documents.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import {
  align,
  createPaint,
  jsonOption,
  note,
  type Paint,
  type ReportOptions,
  report,
  reportWaiting,
} from "../output.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withKinde } from "../with-store.ts";

const help = `
Kinde switches a webhook off after 72 hours of failures, and its API does not
show that. If events stop although the list looks right, replace the webhook
with \`kindling webhook register --renew\`.

The Kinde application needs the scopes read:webhooks, create:webhooks,
update:webhooks and delete:webhooks.

Examples:
  kindling webhook list
  kindling webhook register https://kindling.example.com/webhooks/kinde
  KINDLING_WEBHOOK_URL=https://kindling.example.com/webhooks/kinde \\
    kindling webhook register --renew
  kindling webhook delete webhook_0123456789abcdef

${exitCodesHelp("list: the webhook is missing or incomplete; delete: no such webhook")}`;

const listHelp = `
Examples:
  kindling webhook list
  kindling webhook list --json | jq -r '.webhooks[] | select(.ours) | .endpoint'

${exitCodesHelp("Kindling's webhook is missing or lacks event types")}`;

const registerHelp = `
A webhook for another URL stays: Kinde delivers to both until you delete it.

Examples:
  kindling webhook register https://kindling.example.com/webhooks/kinde
  KINDLING_WEBHOOK_URL=https://kindling.example.com/webhooks/kinde \\
    kindling webhook register --renew

${exitCodesHelp("Kinde rejects the webhook")}`;

const deleteHelp = `
Examples:
  kindling webhook delete webhook_0123456789abcdef

${exitCodesHelp("Kinde has no such webhook")}`;

/** Adds `kindling webhook list`, `register` and `delete`. */
export function addWebhook(program: Command, context: CommandContext): void {
  const webhook = program
    .command("webhook")
    .description("list, register and delete webhooks in Kinde")
    .addHelpText("after", help);
  addList(webhook, context);
  addRegister(webhook, context);
  addDelete(webhook, context);
}

function addList(webhook: Command, { terminal, exitWith }: CommandContext): void {
  webhook
    .command("list")
    .description("list all webhooks and mark Kindling's")
    .option(...jsonOption)
    .addHelpText("after", listHelp)
    .action(async (options: ReportOptions) => {
      const { listed, ok } = await withWebhooks(terminal, async ({ webhooks, config, check, call }) => {
        const ours = isOurs(config.webhookUrl);
        const all = (await webhooks.list(call)).map((one) => ({ ...one, ours: ours(one) }));
        return { listed: all, ok: (await check()).state === "ok" };
      });
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, documents.webhookList, { webhooks: listed }, (found) =>
        renderList(found.webhooks, paint),
      );
      exitWith(ok ? exitCodes.done : exitCodes.found);
    });
}

function addRegister(webhook: Command, { terminal }: CommandContext): void {
  webhook
    .command("register")
    .description("create Kindling's webhook, or add missing event types")
    .argument("[url]", "URL of the webhook endpoint (default: KINDLING_WEBHOOK_URL)", parseHttpUrl)
    .option("--name <name>", "name shown in Kinde", "Kindling")
    .option("--renew", "replace the webhook, in case Kinde has switched it off")
    .option(...jsonOption)
    .addHelpText("after", registerHelp)
    .action(
      async (
        given: string | undefined,
        options: ReportOptions & { name: string; renew?: boolean },
        command: Command,
      ) => {
        const { result, unset } = await withWebhooks(terminal, async ({ webhooks, config, needed, check, call }) => {
          const url = given ?? config.webhookUrl;
          if (url === undefined)
            command.error("error: webhook register expects a URL: pass one, or set KINDLING_WEBHOOK_URL");
          const wanted = { webhooks, url, name: options.name, needed, renew: options.renew === true };
          const registered = await registerWebhook(wanted, call);
          await check();
          // Kinde delivers to all of them, and each counts as Kindling's while KINDLING_WEBHOOK_URL is not set.
          const others = (await webhooks.list(call)).filter(
            (other) => other.id !== registered.webhook.id && isOurs(undefined)(other),
          );
          return { result: { ...registered, others }, unset: !isOurs(config.webhookUrl)(registered.webhook) };
        });
        const paint = createPaint(terminal, terminal.stdout);
        report(terminal, options, documents.webhookRegister, result, (found) => renderRegistered(found, paint));
        if (unset) {
          note(
            terminal,
            `Set KINDLING_WEBHOOK_URL=${result.webhook.endpoint}, so that Kindling recognizes the webhook.`,
          );
        }
        for (const { id, endpoint } of result.others) {
          note(
            terminal,
            `Kinde still delivers to ${endpoint} as well. If nothing listens there: kindling webhook delete ${id}`,
          );
        }
      },
    );
}

function addDelete(webhook: Command, { terminal }: CommandContext): void {
  webhook
    .command("delete")
    .description("delete a webhook in Kinde")
    .argument("<id>", "webhook id from `kindling webhook list`", parseWebhookId)
    .option(...jsonOption)
    .addHelpText("after", deleteHelp)
    .action(async (id: string, options: ReportOptions) => {
      await withWebhooks(terminal, async ({ webhooks, check, call }) => {
        await webhooks.remove(id, call).catch((error: unknown) => {
          if (!(error instanceof KindeError) || error.code !== "kinde_not_found") throw error;
          throw new KindlingError("webhook_not_found", `Kinde has no webhook ${id}.`, { cause: error });
        });
        await check();
      });
      report(terminal, options, documents.webhookDelete, { deleted: id }, () => `Deleted ${id}.`);
    });
}

interface Tools {
  webhooks: Webhooks;
  config: Config;
  /** Event types that Kindling's webhook must be subscribed to. */
  needed: string[];
  /** Checks the registration and stores the result for `kindling status`. */
  check: () => ReturnType<typeof checkWebhook>;
  call: CallOptions;
}

function withWebhooks<T>(terminal: Terminal, task: (tools: Tools) => Promise<T>): Promise<T> {
  return withKinde(terminal, async (store: Store, config) => {
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

/** Wraps webhook calls so that they wait for the call limit. */
function patient(webhooks: Webhooks, terminal: Terminal): Webhooks {
  const wait = <T>(call: () => Promise<T>) =>
    patiently(call, { signal: terminal.stopSignal(), onWait: reportWaiting(terminal) });
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
  throw new InvalidArgumentError("A webhook id has only letters, digits, _ and -.");
}

function renderList(webhooks: readonly (Webhook & { ours: boolean })[], paint: Paint): string {
  if (webhooks.length === 0) return paint.notice("Kinde has no webhooks. Create one: kindling webhook register <url>");
  const rows = webhooks.map(({ id, name, endpoint, eventTypes, ours }) => [
    id,
    endpoint,
    plural(eventTypes.length, "event type"),
    ours ? paint.good("Kindling") : "",
    paint.dim(name),
  ]);
  return align(rows, "");
}

function renderRegistered({ action, webhook, added, replaced }: Registered, paint: Paint): string {
  const done = {
    created: "Created",
    repaired: `Added ${added.join(", ")} to`,
    renewed: `Replaced ${replaced.join(", ")} with`,
    unchanged: "Nothing to change for",
  }[action];
  return `${done} ${paint.good(webhook.id)}: ${plural(webhook.eventTypes.length, "event type")} to ${webhook.endpoint}`;
}
