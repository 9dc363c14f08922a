/** The public API over fetch. Every failure is a `Problem` with a sentence for the citizen. */

import type { Attachment, Message, Talk } from "./types";

export const LIMIT = 2000; // Characters of one message, counted as the server counts them: code points.
const PATIENCE = 30_000;
const UPLOAD_PATIENCE = 120_000;
const QUIET = 45_000; // The server pings every 15 s: this long without a byte is a dead connection.

const SAID: Record<number, string> = {
  401: "会话已失效。",
  404: "会话已失效。",
  413: `消息太长，每条最多${LIMIT}字，请分几条发送。`,
  429: "发送得太快了，请稍等一会儿再发。",
  503: "系统暂时没有收下这条消息，请稍后重发。",
};

/** A call that did not succeed. `status` 0: the server was not reached. */
export class Problem extends Error {
  readonly lost: boolean;
  readonly final: boolean;
  readonly network: boolean;

  constructor(
    readonly status: number,
    said = "",
    readonly wait = 0,
  ) {
    const reached = status === 502 || status === 504 ? 0 : status;
    const unreached = navigator.onLine ? "没有连上服务器，请检查网络后重发。" : "网络断开了，连上后会自动重发。";
    const known = reached === 0 ? unreached : SAID[status];
    super((said || known || "系统出了问题，请稍后重发。") + (wait ? `（约${wait}秒后可以再试）` : ""));
    this.network = reached === 0;
    this.lost = status === 401 || status === 404;
    // Sending the same again would fail again.
    this.final = status === 413 || status === 415 || status === 422;
  }
}

export interface ServerEvent {
  event: string;
  data: string;
}

interface Options {
  method?: string;
  json?: unknown;
  form?: FormData;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export class Api {
  private readonly base: string;
  /** The server gave a conversation its next token: the old one ends within the day. */
  renewed: (talk: Talk) => void = () => {};

  /** `origin` of the gateway; empty for the page's own. */
  constructor(origin: string) {
    this.base = `${origin}/api/v1/conversations`;
  }

  async open(): Promise<{ talk: Talk; messages: Message[] }> {
    const { body } = await this.call("", null, { method: "POST", json: { channel: "widget" } });
    return { talk: { id: body.conversation_id, token: body.token }, messages: body.messages };
  }

  /** 202 means that a person has the conversation. */
  async send(talk: Talk, json: Record<string, string>): Promise<{ status: number; message: Message; replies: Message[] }> {
    const { status, body } = await this.call("/messages", talk, { method: "POST", json });
    return { status, message: body.message, replies: body.replies };
  }

  async read(talk: Talk, after: number): Promise<Message[]> {
    return (await this.call(`/messages?after=${after}`, talk)).body.messages;
  }

  async upload(talk: Talk, id: string, file: File): Promise<{ attachment: Attachment; message?: Message }> {
    const form = new FormData();
    form.append("client_message_id", id);
    form.append("file", file, file.name);
    const { body } = await this.call("/attachments", talk, { method: "POST", form }, UPLOAD_PATIENCE);
    const { attachment_id, name, type, size, message } = body;
    return { attachment: { id: attachment_id, name, type, size }, message };
  }

  async rate(talk: Talk, score: number, comment: string): Promise<void> {
    await this.call("/rating", talk, { method: "POST", json: { score, comment } });
  }

  async feedback(talk: Talk, seq: number, helpful: boolean): Promise<void> {
    await this.call(`/messages/${seq}/feedback`, talk, { method: "POST", json: { helpful } });
  }

  /** EventSource cannot send the token, so the stream is a fetch; `Last-Event-ID` resumes after `after`. */
  async *events(talk: Talk, after: number, signal: AbortSignal, alive: () => void): AsyncGenerator<ServerEvent> {
    const controller = new AbortController();
    const stop = () => controller.abort();
    signal.addEventListener("abort", stop);
    let timer = setTimeout(stop, QUIET);
    const beat = () => {
      clearTimeout(timer);
      timer = setTimeout(stop, QUIET);
      alive();
    };
    try {
      const headers = { Accept: "text/event-stream", "Last-Event-ID": String(after) };
      const response = await this.request("/events", talk, { headers, signal: controller.signal });
      beat();
      if (response.body) yield* parse(response.body.getReader(), beat);
    } catch (error) {
      throw error instanceof Problem ? error : new Problem(0);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      controller.abort();
    }
  }

  private async request(path: string, talk: Talk | null, options: Options): Promise<Response> {
    const { method = "GET", json, form, headers = {}, signal } = options;
    const sent: Record<string, string> = { ...headers };
    if (talk) sent.Authorization = `Bearer ${talk.token}`;
    if (json) sent["Content-Type"] = "application/json";
    const body = form ?? (json ? JSON.stringify(json) : undefined);
    let response: Response;
    try {
      const url = this.base + (talk ? `/${talk.id}` : "") + path;
      response = await fetch(url, { method, headers: sent, body, signal, cache: "no-store", credentials: "omit" });
    } catch {
      throw new Problem(0);
    }
    const next = response.headers.get("Hotline-Token");
    if (talk && next) {
      talk.token = next;
      this.renewed(talk);
    }
    if (response.ok) return response;
    const said = await response.json().catch(() => null);
    throw new Problem(response.status, said?.error?.message, Number(response.headers.get("Retry-After")) || 0);
  }

  private async call(path: string, talk: Talk | null, options: Options = {}, patience = PATIENCE) {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), patience);
    try {
      const response = await this.request(path, talk, { ...options, signal: controller.signal });
      const body: any = response.status === 204 ? null : await response.json();
      return { status: response.status, body };
    } catch (error) {
      throw error instanceof Problem ? error : new Problem(0); // A body that was cut off or is not JSON.
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Server-sent events of a response body; comments (pings) only count as a sign of life. */
async function* parse(reader: ReadableStreamDefaultReader<Uint8Array>, alive: () => void): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  let text = "";
  let event = "";
  let data: string | null = null;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    text += decoder.decode(value, { stream: true });
    // A carriage return at the very end may be half of a line's end.
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    text = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (data !== null) yield { event: event || "message", data };
        event = "";
        data = null;
      } else if (line.startsWith("event:")) event = line.slice(6).trim();
      else if (line.startsWith("data:")) {
        const part = line.slice(5).replace(/^ /, "");
        data = data === null ? part : `${data}\n${part}`;
      }
    }
  }
}
