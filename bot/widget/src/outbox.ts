/** What the citizen sent and the server has not confirmed: kept in localStorage, one key an item, so that
 *  two tabs never write over each other. The id makes a second delivery harmless, whoever sends it. */

import { keep, keysOf, recall } from "./storage";
import type { Item } from "./types";

const PREFIX = "hotline.out.";
const FRESH = 10 * 60_000; // Older ones may not be wanted any more: the citizen decides.
const FORGET = 7 * 24 * 3_600_000;

interface Stored {
  talk: string | null;
  id: string;
  text: string;
  choice?: string;
  isFile?: boolean;
  at: number;
  after: number;
}

export function newId(): string {
  // crypto.randomUUID exists on HTTPS only; this works in every context.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function store(item: Item, talk: string | null): void {
  const { id, text, choice, isFile, at, after } = item;
  keep("localStorage", PREFIX + id, { talk, id, text, choice, isFile, at, after } satisfies Stored);
}

export function forget(item: Item): void {
  keep("localStorage", PREFIX + item.id, null);
}

/** Items of an earlier page load that belong to `talk` (or to none yet), oldest first. */
export function unconfirmed(talk: string | null, now = Date.now()): Item[] {
  const items: Item[] = [];
  for (const key of keysOf(PREFIX)) {
    const stored = recall<Stored>("localStorage", key);
    if (!stored?.id || now - stored.at > FORGET) keep("localStorage", key, null);
    else if (stored.talk === null || stored.talk === talk) items.push(restored(stored, now));
  }
  return items.sort((a, b) => a.at - b.at);
}

function restored({ id, text, choice, isFile, at, after }: Stored, now: number): Item {
  const item: Item = { id, text, choice, isFile, at, after, state: "queued" };
  // The file itself is not kept: it may be large, and it is on the citizen's device anyway.
  if (isFile) return { ...item, state: "failed", final: true, problem: "没有传完，请重新选择文件。" };
  if (now - at > FRESH) return { ...item, state: "failed", problem: "上次没有发出。" };
  return item;
}
