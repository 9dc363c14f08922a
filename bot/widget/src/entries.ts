/** What stands in the list: the log in its order, and among it what is not confirmed yet. */

import type { Hotline } from "./hotline";
import { showsTime } from "./time";
import type { Item, Message } from "./types";

export interface Entry {
  /** The same for an item and the message it becomes, so that its element stays. */
  key: string;
  message?: Message;
  item?: Item;
  own: boolean;
  /** What of an item is seen; an item changes in place. */
  drawn?: string;
  at: number;
  time: boolean;
}

export function entriesOf(hotline: Hotline): Entry[] {
  const found: Entry[] = [];
  let shown: number | null = null;
  const add = (key: string, own: boolean, at: number, what: Pick<Entry, "message" | "item" | "drawn">) => {
    const time = showsTime(at, shown);
    if (time) shown = at;
    found.push({ key, own, at, time, ...what });
  };
  const addMessage = (message: Message, prefix: string) => {
    const key = message.client_message_id ?? `${prefix}${message.seq}`;
    add(key, message.author === "user", Date.parse(message.created_at), { message });
  };
  hotline.past.forEach((message, index) => addMessage(message, `past${index}-`));
  const waiting = [...hotline.outbox];
  const addItems = (fits: (item: Item) => boolean) => {
    for (const item of waiting.filter(fits)) {
      waiting.splice(waiting.indexOf(item), 1);
      add(item.id, true, item.at, { item, drawn: `${item.state} ${item.problem}` });
    }
  };
  const stored = new Set(hotline.log.map((message) => message.client_message_id));
  for (const message of hotline.log) {
    addMessage(message, "seq");
    // A failed one stays where it was said; what is being sent stands at the end.
    addItems((item) => item.state === "failed" && item.after <= message.seq && !stored.has(item.id) && isNext(hotline, item, message));
  }
  addItems((item) => !stored.has(item.id));
  return found;
}

function isNext(hotline: Hotline, item: Item, message: Message): boolean {
  return item.after === message.seq || (!hotline.messages.has(item.after) && item.after < message.seq);
}

/** Plain text as paragraphs, by line; empty lines are left out. */
export function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line.trim());
}

/** 第九条 for 9; the notice has fewer than a hundred measures. */
export function clauseName(number: number): string {
  const digits = "零一二三四五六七八九";
  const tens = Math.floor(number / 10);
  const ones = number % 10 ? digits[number % 10] : "";
  return `第${tens > 1 ? digits[tens] : ""}${tens ? "十" : ""}${ones}条`;
}
