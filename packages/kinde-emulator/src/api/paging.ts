import { BadRequest } from "../http/reply.ts";
import type { UserState } from "../state/user-state.ts";
import type { ApiCall } from "./route.ts";

const DEFAULT_PAGE = 10;
const MAX_PAGE = 500;
const TOKEN_MARK = "after:";
/** Users looked at before others get their turn: a long search must not hold up the server. */
const STRETCH = 20_000;

/** `page_size`: 1 to 500, default 10; anything else is 400. */
export function pageSizeOf(call: ApiCall): number {
  const text = call.query("page_size");
  if (text === undefined) return DEFAULT_PAGE;
  const size = Number(text);
  if (!Number.isInteger(size) || size < 1 || size > MAX_PAGE)
    throw new BadRequest(`page_size must be a whole number from 1 to ${MAX_PAGE}.`, "invalid_page_size");
  return size;
}

export const tokenAfter = (id: string): string => Buffer.from(TOKEN_MARK + id).toString("base64url");

/** The id a `next_token` continues after; 400 for one we never gave out. */
export function afterOf(call: ApiCall): string | undefined {
  const token = call.query("next_token");
  if (token === undefined) return undefined;
  const text = Buffer.from(token, "base64url").toString();
  const id = text.slice(TOKEN_MARK.length);
  if (!text.startsWith(TOKEN_MARK) || tokenAfter(id) !== token)
    throw new BadRequest("This next_token is not valid.", "invalid_next_token");
  return id;
}

/** Any id that could be a user's, deleted ones included: a page may end with a user who is gone by the next. */
export function cursorOf(call: ApiCall, name: string): string | undefined {
  const id = call.query(name);
  if (id !== undefined && !/^[\w:.-]{1,128}$/.test(id)) throw new BadRequest(`${name} is not an id.`, "invalid_cursor");
  return id;
}

export interface Page<T> {
  items: T[];
  next_token: string | null;
}

/** A page of a list that is held whole. */
export function pageOf<T>(call: ApiCall, list: readonly T[], idOf: (item: T) => string): Page<T> {
  const size = pageSizeOf(call);
  const after = afterOf(call);
  const start = after === undefined ? 0 : list.findIndex((item) => idOf(item) === after) + 1;
  if (after !== undefined && start === 0)
    throw new BadRequest("This next_token is not valid any more.", "invalid_next_token");
  const items = list.slice(start, start + size);
  const last = items.at(-1);
  return { items, next_token: last !== undefined && start + size < list.length ? tokenAfter(idOf(last)) : null };
}

/** The first `size` users that pass. */
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
    if (seen % STRETCH === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return taken;
}

/** A page of users with its `next_token`. */
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
