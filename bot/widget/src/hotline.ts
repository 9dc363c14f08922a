/** The conversation as this page knows it, kept equal to the server's log; knows nothing of how it is drawn. */

import { Api, Problem, type ServerEvent } from "./http";
import { forget, newId, store, unconfirmed } from "./outbox";
import { keep, recall } from "./storage";
import type { Choice, Item, Message, Owner, Talk } from "./types";

const LONGEST_PAUSE = 30_000;
const TYPING_LASTS = 6_000;
const TRIES = 3; // A network that stutters is tried again at once; then the citizen is told.
const JUST_OPENED = 10_000;
const OWNER_IS_TOLD = 3_000;
const LOST = "原来的会话已经失效，为您新开了一个会话。之前登记的内容不受影响，可凭编号和手机号查询。";
const BOT: Owner = { owner: "bot", name: null, queue: null };

export class Hotline {
  talk: Talk | null = recall<Talk>("localStorage", "hotline.conversation");
  /** Messages by seq, everything of the open conversation that was read. */
  readonly messages = new Map<number, Message>();
  /** What a conversation held that the server does not know any more; it may contain a receipt number. */
  past: Message[] = [];
  outbox: Item[] = [];
  owner: Owner = BOT;
  typing: "" | "bot" | "staff" = "";
  trouble = "";
  ready = false;
  unread = 0;
  watched = false;
  private cursor = 0; // Everything up to this seq was read.
  private openedAt = 0;
  private opening: Promise<void> | null = null;
  private pumping = false;
  private started = false;
  private restoring = true;
  private offlineAt = -1;
  private waker = new AbortController();
  private drawing = 0;
  private sorted: Message[] | null = null;
  private typingTimer = 0;
  private ownerTimer = 0;
  private readonly listeners = new Set<() => void>();

  constructor(readonly api: Api) {
    if (!this.talk?.id || !this.talk.token) this.talk = null;
    api.renewed = (talk) => {
      if (this.talk === talk) keep("localStorage", "hotline.conversation", talk);
    };
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Many messages at once are drawn once. */
  private changed(): void {
    this.drawing ||= window.setTimeout(() => {
      this.drawing = 0;
      for (const listener of this.listeners) listener();
    });
  }

  /** Begins to follow the conversation; opens one if there is none. */
  start(): void {
    if (this.started) return;
    this.started = true;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.wake();
    });
    window.addEventListener("online", () => this.wake());
    window.addEventListener("offline", () => {
      this.offlineAt = performance.now();
      this.setTrouble("网络断开了，连上后会自动恢复");
    });
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) this.wake();
    });
    void this.live();
  }

  /** The citizen sees the conversation, or does not. */
  watch(on: boolean): void {
    this.watched = on;
    if (on) this.unread = 0;
    this.changed();
  }

  // -- reading ----------------------------------------------------------------------------------------

  get log(): readonly Message[] {
    this.sorted ??= [...this.messages.values()].sort((a, b) => a.seq - b.seq);
    return this.sorted;
  }

  /** The buttons of the last turn; those of earlier turns are void (`next0` comes again with another meaning). */
  get choices(): Choice[] {
    if (this.outbox.some((item) => item.state !== "failed" && !item.isFile)) return [];
    const open = new Map<string, Choice>();
    for (const message of [...this.log].reverse()) {
      if (message.author === "staff" || (message.author === "user" && !message.attachments?.length)) break;
      for (const choice of [...message.choices].reverse()) if (!open.has(choice.id)) open.set(choice.id, choice);
    }
    return [...open.values()].reverse();
  }

  private take(list: Message[], ordered = false): void {
    for (const message of list) {
      if (ordered || message.seq === this.cursor + 1) this.cursor = Math.max(this.cursor, message.seq);
      if (this.messages.has(message.seq)) continue;
      this.messages.set(message.seq, message);
      this.sorted = null;
      if (message.author === "user") this.settle(message);
      else {
        this.setTyping("");
        if (this.ready && (!this.watched || document.hidden)) this.unread += 1;
      }
    }
    this.changed();
  }

  /** The log has it: it was stored, even if the response was lost. */
  private settle(message: Message): void {
    const item = this.outbox.find((each) => each.id === message.client_message_id);
    if (item) this.drop(item);
  }

  private drop(item: Item): void {
    this.outbox = this.outbox.filter((each) => each !== item);
    forget(item);
  }

  private setTyping(who: "" | "bot" | "staff", lasts = 30_000): void {
    clearTimeout(this.typingTimer);
    this.typing = who;
    if (who) this.typingTimer = window.setTimeout(() => this.setTyping(""), lasts);
    this.changed();
  }

  private setTrouble(text: string): void {
    if (this.trouble === text) return;
    this.trouble = text;
    this.changed();
  }

  // -- sending: one at a time, so that the order on the server is the order of typing -----------------

  say(text: string, choice?: string): void {
    this.enqueue({ id: newId(), text, choice, at: Date.now(), after: this.cursor, state: "queued" });
  }

  attach(file: File): void {
    const text = `${file.type.startsWith("image/") ? "[图片]" : "[文件]"} ${file.name}`;
    const item: Item = { id: newId(), text, file, isFile: true, at: Date.now(), after: this.cursor, state: "queued" };
    this.enqueue(item);
  }

  private enqueue(item: Item): void {
    this.outbox = [...this.outbox, item];
    store(item, this.talk?.id ?? null);
    this.changed();
    void this.pump();
  }

  retry(item: Item): void {
    if (item.state !== "failed" || item.final) return;
    this.update(item, { state: "queued", problem: undefined, network: undefined });
    void this.pump();
  }

  /** Takes an item back, to be changed or forgotten. */
  withdraw(item: Item): void {
    this.drop(item);
    this.changed();
  }

  private update(item: Item, change: Partial<Item>): void {
    Object.assign(item, change);
    this.outbox = [...this.outbox];
    this.changed();
  }

  private async pump(): Promise<void> {
    if (this.pumping || this.restoring) return;
    this.pumping = true;
    try {
      for (let item; (item = this.outbox.find((each) => each.state === "queued")); ) await this.deliver(item);
    } finally {
      this.pumping = false;
    }
  }

  private async deliver(item: Item): Promise<void> {
    this.update(item, { state: "sending" });
    if (this.owner.owner === "bot" && !item.isFile) this.setTyping("bot");
    for (let tries = 1; ; tries += 1) {
      const session = this.talk;
      try {
        await this.attempt(item);
        break;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        // The stream brought it meanwhile: it was stored, only the response was lost.
        if (!this.outbox.includes(item)) break;
        if (error.network && navigator.onLine && tries < TRIES) {
          await pause(tries * 800, this.waker.signal);
          continue;
        }
        this.fail(item, error, session);
        break;
      }
    }
    this.setTyping("");
  }

  private async attempt(item: Item): Promise<void> {
    if (!this.talk) await this.open();
    const session = this.talk as Talk;
    if (item.file) {
      const { message } = await this.api.upload(session, item.id, item.file);
      this.drop(item);
      if (this.talk === session && message) this.take([message]);
      return;
    }
    const said: Record<string, string> = item.choice ? { choice: item.choice } : { text: item.text };
    const { status, message, replies } = await this.api.send(session, { client_message_id: item.id, ...said });
    this.drop(item);
    if (this.talk !== session) return; // Stored in a conversation that was left meanwhile.
    if (status === 202 && this.owner.owner === "bot") this.owner = { owner: "person", name: null, queue: null };
    this.take([message, ...replies]);
  }

  private fail(item: Item, problem: Problem, session: Talk | null): void {
    if (problem.lost && session && this.abandon(session)) {
      const said = "这条没有发出，需要的话请在新会话里重发。";
      this.update(item, { state: "failed", problem: said, choice: undefined });
    } else if (problem.status === 422 && item.choice) {
      // A button that expired is sent as its words instead; nothing was stored, so the id may stay.
      this.update(item, { state: "failed", problem: problem.message, choice: undefined });
    } else {
      const { message, network, final } = problem;
      this.update(item, { state: "failed", problem: message, network, final });
    }
    // What was typed after it must not overtake it.
    if (problem.network) {
      for (const each of this.outbox) {
        if (each.state === "queued") Object.assign(each, { state: "failed", problem: problem.message, network: true });
      }
    }
    if (this.talk) store(item, this.talk.id);
  }

  // -- conversation and stream ------------------------------------------------------------------------

  /** Opens a conversation, once even when the stream and a message want it at the same time. */
  private open(): Promise<void> {
    this.opening ??= (async () => {
      const { talk, messages } = await this.api.open();
      this.talk = talk;
      this.openedAt = Date.now();
      keep("localStorage", "hotline.conversation", talk);
      for (const item of this.outbox) store(item, talk.id);
      this.take(messages, true);
    })().finally(() => {
      this.opening = null;
    });
    return this.opening;
  }

  /** Leaves a conversation that the server does not know any more. False for one that was only just opened:
   *  then the fault is elsewhere, and opening one after another would not mend it. */
  private abandon(session: Talk): boolean {
    if (this.talk !== session) return true; // Left already, on another call's word.
    if (Date.now() - this.openedAt < JUST_OPENED) return false;
    const at = new Date().toISOString();
    this.past = [...this.past, ...this.log, { seq: 0, author: "system", text: LOST, created_at: at, choices: [] }];
    this.talk = null;
    this.cursor = 0;
    this.owner = BOT;
    this.messages.clear();
    this.sorted = null;
    keep("localStorage", "hotline.conversation", null);
    for (const item of this.outbox) Object.assign(item, { after: 0, choice: undefined });
    this.waker.abort();
    this.changed();
    return true;
  }

  /** Reads the log after the cursor, page by page. */
  private async pull(): Promise<void> {
    const session = this.talk as Talk;
    for (;;) {
      const after = this.cursor;
      const page = await this.api.read(session, after);
      if (this.talk !== session) throw new Problem(0);
      this.take(page, true);
      if (!page.length || this.cursor === after) return;
    }
  }

  private handle({ event, data }: ServerEvent): void {
    let value: any;
    try {
      value = JSON.parse(data);
    } catch {
      return;
    }
    if (event === "message") this.take([value], true);
    else if (event === "typing") this.setTyping(value.author === "staff" ? "staff" : "bot", TYPING_LASTS);
    else if (event === "owner") {
      clearTimeout(this.ownerTimer);
      this.owner = { owner: value.owner === "person" ? "person" : "bot", name: value.name ?? null, queue: value.queue ?? null };
      this.changed();
    }
  }

  /** Keeps the page and the log the same, for as long as the page is open. */
  private async live(): Promise<void> {
    for (let tries = 0; ; ) {
      this.waker = new AbortController();
      const { signal } = this.waker;
      let wait = 0;
      let session: Talk | null = null;
      const begun = performance.now();
      try {
        if (!this.talk) await this.open();
        session = this.talk as Talk;
        await this.pull();
        this.restore(session);
        const alive = () => {
          tries = 0;
          // What was on its way when the network went says nothing about the network now.
          if (this.offlineAt < begun) this.setTrouble("");
        };
        this.resend();
        // A new stream names the owner at once, unless it is the bot and nobody is waited for.
        this.ownerTimer = window.setTimeout(() => this.handle({ event: "owner", data: "{}" }), OWNER_IS_TOLD);
        for await (const event of this.api.events(session, this.cursor, signal, alive)) this.handle(event);
      } catch (error) {
        clearTimeout(this.ownerTimer);
        if (!(error instanceof Problem)) throw error;
        if (!signal.aborted && !(error.lost && session && this.abandon(session))) {
          this.setTrouble(navigator.onLine ? "连接断开，正在重连…" : "网络断开了，连上后会自动恢复");
          wait = error.wait * 1000;
        }
      }
      if (signal.aborted) tries = 0;
      else tries += 1;
      // Half of the pause is drawn by lot, so that pages do not come back all at once after an outage.
      const longest = Math.min(LONGEST_PAUSE, 1000 * 2 ** Math.min(tries, 6));
      if (!signal.aborted) await pause(Math.max(wait, longest * (0.5 + Math.random() / 2)), this.waker.signal);
    }
  }

  /** What an earlier page load could not confirm, unless the log shows it by now. */
  private restore(session: Talk): void {
    if (this.restoring) {
      this.restoring = false;
      const stored = new Set(this.log.map((message) => message.client_message_id));
      for (const item of unconfirmed(session.id)) {
        if (stored.has(item.id)) forget(item);
        else if (!this.outbox.some((each) => each.id === item.id)) this.outbox = [item, ...this.outbox];
      }
      this.outbox.sort((a, b) => a.at - b.at);
    }
    this.ready = true;
    this.changed();
    void this.pump();
  }

  /** The network is back: what failed for want of it goes out again, in its order. */
  private resend(): void {
    for (const item of this.outbox) if (item.network && item.state === "failed") this.retry(item);
  }

  private wake(): void {
    if (navigator.onLine) this.setTrouble("");
    this.waker.abort();
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}
