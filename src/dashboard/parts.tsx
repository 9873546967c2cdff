import type { Child, PropsWithChildren } from "hono/jsx";
import { durationWords, instantWords, visible, withoutCredentials } from "../words.ts";

export type Tone = "good" | "notice" | "bad";

/** A titled part of a page. */
export const Panel = ({
  title,
  note,
  wide,
  children,
}: PropsWithChildren<{ title: string; note?: Child; wide?: boolean }>) => {
  const id = `panel-${title.toLowerCase().replace(/[^a-z\d]+/g, "-")}`;
  return (
    <section class={wide ? "panel wide" : "panel"} aria-labelledby={id}>
      <div class="panel-head">
        <h2 id={id}>{title}</h2>
        {note !== undefined && <p class="muted">{note}</p>}
      </div>
      {children}
    </section>
  );
};

/** A list of labels and values, in two columns. */
export const Facts = ({ rows }: { rows: readonly (readonly [label: string, value: Child] | undefined)[] }) => (
  <dl class="facts">
    {rows.map(
      (row) =>
        row && (
          <div>
            <dt>{row[0]}</dt>
            <dd>{row[1]}</dd>
          </div>
        ),
    )}
  </dl>
);

/**
 * A table. Columns whose title ends in `#` hold numbers. Where it does not fit, a table of more than two columns becomes
 * a list of its rows, except one of nothing but numbers: that one scrolls sideways.
 */
export const Table = ({
  label,
  columns,
  rows,
}: {
  label: string;
  columns: readonly string[];
  rows: readonly (readonly Child[])[];
}) => (
  <section class="scroll" aria-label={`${label}: table`} tabindex={0}>
    <table class={columns.filter((column) => !column.endsWith("#")).length > 2 ? "folds" : undefined}>
      <thead>
        <tr>
          {columns.map((column) => (
            <th scope="col" class={column.endsWith("#") ? "number" : undefined}>
              {column.replace(/#$/, "")}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr>
            {row.map((cell, index) => (
              <td
                class={columns[index]?.endsWith("#") ? "number" : undefined}
                data-column={columns[index]?.replace(/#$/, "")}
              >
                {cell}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  </section>
);

/** A word that is good, notable or bad. The shape before it says so without its color. */
export const Mark = ({ tone, children }: PropsWithChildren<{ tone: Tone }>) => (
  <span class={`mark ${tone}`}>
    <span aria-hidden="true">{{ good: "●", notice: "▲", bad: "■" }[tone]}</span> {children}
  </span>
);

/**
 * Text from Kinde or from users: what cannot be seen is escaped, its direction changes nothing around it, and credentials
 * of URLs are masked.
 */
export const Text = ({ children }: { children: string }) => <bdi>{withoutCredentials(visible(children))}</bdi>;

/** A value as JSON. */
export const Value = ({ of }: { of: unknown }) => (
  <code>
    <Text>{of === undefined ? "none" : JSON.stringify(of)}</Text>
  </code>
);

export const UserLink = ({ id }: { id: string }) => (
  <a href={userPath(id)}>
    <code>{id}</code>
  </a>
);

/** Returns the path of a user's page. */
export function userPath(id: string): string {
  return `/users/${encodeURIComponent(id)}`;
}

/** How long ago something was. */
export const Ago = ({ at, now }: { at: number; now: number }) => (
  <time datetime={instantWords(at)} title={instantWords(at)}>
    {durationWords(now - at)} ago
  </time>
);

/** What came of an action, or why there was none. */
export const Notice = ({ tone, title, children }: PropsWithChildren<{ tone: Tone; title: string }>) => (
  <div class={`notice ${tone}`} role={tone === "bad" ? "alert" : "status"}>
    <p>
      <Mark tone={tone}>
        <strong>{title}</strong>
      </Mark>
    </p>
    {children}
  </div>
);

/** A share from 0 to 1 as a bar. The number stands beside it in words. */
export const Bar = ({ share, tone = "good" }: { share: number; tone?: Tone }) => (
  <svg class={`meter ${tone}`} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">
    <rect class="rest" width="100" height="6" rx="1" />
    <rect class="part" width={Math.max(0, Math.min(100, share * 100)).toFixed(2)} height="6" rx="1" />
  </svg>
);

/** A button that asks before it sends: the question is a popover, which needs no script. */
export const Confirm = ({
  id,
  label,
  question,
  action,
  fields = {},
  danger,
  children,
}: PropsWithChildren<{
  id: string;
  label: string;
  question: string;
  action: string;
  fields?: Readonly<Record<string, string>>;
  danger?: boolean;
}>) => (
  <>
    <button type="button" popovertarget={id} class={danger ? "danger" : undefined}>
      {label}
    </button>
    <div id={id} popover="auto" role="dialog" aria-labelledby={`${id}-title`} class="confirm">
      <form method="post" action={action}>
        <h2 id={`${id}-title`}>{question}</h2>
        <div class="muted">{children}</div>
        {Object.entries(fields).map(([name, value]) => (
          <input type="hidden" name={name} value={value} />
        ))}
        <div class="buttons">
          <button type="button" popovertarget={id} popovertargetaction="hide" autofocus>
            Cancel
          </button>
          <button type="submit" class={danger ? "danger" : "primary"}>
            {label.replace(/…$/, "")}
          </button>
        </div>
      </form>
    </div>
  </>
);
