import { Hono } from "hono";
import type { Child } from "hono/jsx";
import { z } from "zod";
import { createWebhooks, type Webhook } from "../kinde/webhooks.ts";
import { isOurs } from "../webhook/check-registration.ts";
import { type Registered, registerWebhook } from "../webhook/register.ts";
import { neededEventTypes } from "../webhook/route-event.ts";
import { plural } from "../words.ts";
import { readForm } from "./forms.ts";
import { WebhookState } from "./now-page.tsx";
import type { PageDeps } from "./options.ts";
import type { DashboardContext, SessionVariables } from "./page.tsx";
import { Facts, Mark, Notice, Panel, Table, Text } from "./parts.tsx";
import { explainProblem } from "./problems.ts";

type Env = { Variables: SessionVariables };

const registerSchema = z.object({
  url: z.url({ protocol: /^https?$/, message: "must be a URL" }).max(2_000, "is too long"),
  renew: z.literal("on").optional(),
  sure: z.literal("on", "confirm the change"),
});

/** Creates the routes below `/webhooks`. */
export function webhookRoutes(deps: PageDeps): Hono<Env> {
  const { page, act, config, operations, store } = deps;
  const webhooks = createWebhooks(operations.kinde);
  const needed = neededEventTypes(config);
  const app = new Hono<Env>();

  const show = async (context: DashboardContext, notice?: Child) => {
    const call = deps.call(context);
    const listed = await webhooks.list(call).catch((error: unknown) => explainProblem(error));
    const check = await store.audits.webhook();
    return page(
      context,
      { title: "Webhooks" },
      <WebhooksPage
        {...{ listed, needed, notice }}
        state={check?.state ?? null}
        url={config.webhookUrl}
        canOperate={context.var.session.role === "operate"}
      />,
    );
  };

  app.get("/webhooks", (context) => show(context));

  app.post("/webhooks/register", async (context) => {
    const { url, renew } = await readForm(context, registerSchema);
    const call = deps.call(context);
    const options = { webhooks, url, name: "Kindling", needed, renew: renew === "on" };
    const registered = await act(context, { action: "register webhook", subject: new URL(url).host }, async () => {
      const done = await registerWebhook(options, call);
      await store.audits.noteWebhook(await operations.checkWebhook(call));
      return done;
    });
    return show(context, <Result registered={registered} />);
  });

  return app;
}

const Result = ({ registered: { action, webhook, added, replaced } }: { registered: Registered }) => {
  const title = {
    created: "Webhook created",
    repaired: "Webhook repaired",
    renewed: "Webhook replaced",
    unchanged: "Nothing to change",
  }[action];
  return (
    <Notice tone="good" title={title}>
      <p>
        <Text>{webhook.endpoint}</Text> receives {plural(webhook.eventTypes.length, "event type")}.
      </p>
      {added.length > 0 && <p>Added: {added.join(", ")}</p>}
      {replaced.length > 0 && <p>Replaced: {replaced.join(", ")}</p>}
    </Notice>
  );
};

interface WebhooksPageProps {
  /** Or why Kinde did not list them. */
  listed: readonly Webhook[] | { title: string; message: string };
  needed: readonly string[];
  state: Parameters<typeof WebhookState>[0]["state"];
  url: string | undefined;
  canOperate: boolean;
  notice: Child;
}

const WebhooksPage = ({ listed, needed, state, url, canOperate, notice }: WebhooksPageProps) => {
  const ours = isOurs(url);
  const webhooks = Array.isArray(listed) ? (listed as readonly Webhook[]) : [];
  return (
    <>
      <div class="title">
        <h1>Webhooks at Kinde</h1>
      </div>
      {notice}
      {!Array.isArray(listed) && "message" in listed && (
        <Notice tone="bad" title={listed.title}>
          <p>
            <Text>{listed.message}</Text>
          </p>
        </Notice>
      )}
      <div class="panels">
        <Panel title="Registration">
          <Facts
            rows={[
              ["At the last check", <WebhookState state={state} />],
              ["KINDLING_WEBHOOK_URL", url === undefined ? "not set" : <Text>{url}</Text>],
              ["Event types needed", String(needed.length)],
            ]}
          />
        </Panel>
        {canOperate && <RegisterForm url={url ?? webhooks.find(ours)?.endpoint} />}
        <div class="wide">
          <Panel title="Webhooks">
            {webhooks.length === 0 ? (
              <p>
                <Mark tone="notice">None</Mark>
              </p>
            ) : (
              <Table
                label="Webhooks"
                columns={["Name", "URL", "Event types", "Whose"]}
                rows={webhooks.map((webhook) => [
                  <Text>{webhook.name}</Text>,
                  <Text>{webhook.endpoint}</Text>,
                  <Lacking webhook={webhook} needed={ours(webhook) ? needed : []} />,
                  ours(webhook) ? <span class="tag">Kindling's</span> : "others'",
                ])}
              />
            )}
            <p class="muted">
              Kinde switches a webhook off after 72 hours of failures, and its API does not show that. If events stop
              although all looks right, replace the webhook.
            </p>
          </Panel>
        </div>
      </div>
    </>
  );
};

const Lacking = ({ webhook, needed }: { webhook: Webhook; needed: readonly string[] }) => {
  const lacking = needed.filter((type) => !webhook.eventTypes.includes(type));
  return lacking.length === 0 ? (
    <span>{String(webhook.eventTypes.length)}</span>
  ) : (
    <Mark tone="bad">lacks {lacking.join(", ")}</Mark>
  );
};

const RegisterForm = ({ url }: { url: string | undefined }) => (
  <Panel title="Register or repair">
    <form method="post" action="/webhooks/register" class="form">
      <label for="url">URL of the webhook endpoint</label>
      <input
        id="url"
        name="url"
        type="url"
        required
        value={url}
        placeholder="https://kindling.example.com/webhooks/kinde"
      />
      <p class="muted">Creates Kinde's webhook with this URL, or adds the event types that it lacks.</p>
      <label class="check">
        <input type="checkbox" name="renew" /> Replace it, in case Kinde has switched it off. No event is lost.
      </label>
      <label class="check">
        <input type="checkbox" name="sure" required /> Yes, change Kinde's webhooks
      </label>
      <div class="buttons">
        <button type="submit" class="primary">
          Register
        </button>
      </div>
    </form>
  </Panel>
);
