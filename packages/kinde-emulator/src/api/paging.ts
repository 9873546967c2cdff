import { BadRequest } from "../http/reply.ts";
import type { UserState } from "../state/user-state.ts";
import type { ApiCall } from "./route.ts";

export const DEFAULT_PAGE = 10;
const MAX_PAGE = 500;
const TOKEN_MARK = "after:";
/** Users examined before yielding to the event loop: a long search must not block the server. */
const YIELD_EVERY = 20_000;

/** Reads `page_size`: 1 to 500, default 10. Anything else is answered with 400. */
export function pageSizeOf(call: ApiCall): number {
  const text = call.query("page_size");
  if (text === undefined) return DEFAULT_PAGE;
  const size = Number(text);
  if (!Number.isInteger(size) || size < 1 || size > MAX_PAGE)
    throw new BadRequest(`page_size must be a whole number from 1 to ${MAX_PAGE}.`, "invalid_page_size");
  return size;
}

export const tokenAfter = (id: string): string => Buffer.from(TOKEN_MARK + id).toString("base64url");

/** Decodes `next_token` into the id to continue after. A malformed token is answered with 400. */
export function afterOf(call: ApiCall): string | undefined {
  const token = call.query("next_token");
  if (token === undefined) return undefined;
  const text = Buffer.from(token, "base64url").toString();
  const id = text.slice(TOKEN_MARK.length);
  if (!text.startsWith(TOKEN_MARK) || tokenAfter(id) !== token)
    throw new BadRequest("next_token is invalid.", "invalid_next_token");
  return id;
}

/** Reads an id cursor. The id need not exist: the last user of a page can be deleted before the next page is read. */
export function cursorOf(call: ApiCall, name: string): string | undefined {
  const id = call.query(name);
  if (id !== undefined && !/^[\w:.-]{1,128}$/.test(id))
    throw new BadRequest(`${name} is not a valid id.`, "invalid_cursor");
  return id;
}

/**
 * Sorts a list by the query parameter `sort`, such as `name_desc`. Without it, the order stays; ties keep it too.
 *
 * @param keys what each field of `sort` compares
 */
export function sorted<T>(
  call: ApiCall,
  list: readonly T[],
  keys: Readonly<Record<string, (item: T) => string>>,
): readonly T[] {
  const sort = call.query("sort");
  if (sort === undefined) return list;
  const [, field = "", direction] = /^(\w+)_(asc|desc)$/.exec(sort) ?? [];
  const keyOf = Object.hasOwn(keys, field) ? keys[field] : undefined;
  if (!keyOf) {
    const allowed = Object.keys(keys).flatMap((key) => [`${key}_asc`, `${key}_desc`]);
    throw new BadRequest(`sort must be one of ${allowed.join(", ")}.`, "invalid_sort");
  }
  const sign = direction === "asc" ? 1 : -1;
  return list
    .map((item) => ({ item, key: keyOf(item).toLowerCase() }))
    .sort((a, b) => (a.key < b.key ? -sign : a.key > b.key ? sign : 0))
    .map(({ item }) => item);
}

export interface Page<T> {
  items: T[];
  next_token: string | null;
}

/** Returns a page of an in-memory list. */
export function pageOf<T>(call: ApiCall, list: readonly T[], idOf: (item: T) => string): Page<T> {
  const size = pageSizeOf(call);
  const after = afterOf(call);
  const start = after === undefined ? 0 : list.findIndex((item) => idOf(item) === after) + 1;
  if (after !== undefined && start === 0) throw new BadRequest("next_token is no longer valid.", "invalid_next_token");
  const items = list.slice(start, start + size);
  const last = items.at(-1);
  return { items, next_token: last !== undefined && start + size < list.length ? tokenAfter(idOf(last)) : null };
}

/**
 * Returns a page of an in-memory list by `starting_after` or `ending_before`, which name the item beside the page.
 *
 * @param size default: `page_size`
 */
export function cursorPageOf<T>(
  call: ApiCall,
  list: readonly T[],
  idOf: (item: T) => string,
  size: number = pageSizeOf(call),
): { items: T[]; has_more: boolean } {
  const [after, before] = [cursorOf(call, "starting_after"), cursorOf(call, "ending_before")];
  if (after !== undefined && before !== undefined)
    throw new BadRequest("starting_after and ending_before are mutually exclusive.");
  const named = after ?? before;
  const index = named === undefined ? -1 : list.findIndex((item) => idOf(item) === named);
  if (named !== undefined && index < 0) throw new BadRequest("The cursor is unknown.", "invalid_cursor");
  const start = before === undefined ? index + 1 : Math.max(0, index - size);
  const end = before === undefined ? start + size : index;
  return { items: list.slice(start, end), has_more: before === undefined ? end < list.length : start > 0 };
}

/** Returns the first `size` users that pass. */
export async function take(
  users: Iterable<UserState>,
  size: number,
  passes: (user: UserState) => boolean,
): Promise<UserState[]> {
  const taken: UserState[] = [];
  let seen = 0;
  for (const user of users) {
    if (passes(user)) taken.push(user);
    if (taken.length >= size) break;
    seen += 1;
    if (seen % YIELD_EVERY === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return taken;
}

/** Returns a page of users with its `next_token`. */
export async function userPage(
  call: ApiCall,
  walk: (after: string | undefined) => Iterable<UserState>,
  passes: (user: UserState) => boolean,
): Promise<Page<UserState>> {
  const size = pageSizeOf(call);
  const found = await take(walk(afterOf(call)), size + 1, passes);
  const items = found.slice(0, size);
  const last = items.at(-1);
  return { items, next_token: found.length > size && last ? tokenAfter(last.id) : null };
}
