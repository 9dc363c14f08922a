/* The chat page: the public API of CONTRACTS.md for people. No build and no dependency. Text of the server
   becomes a text node and nothing else. Parts: storage, HTTP, drawing, log, sending, stream, controls. */

const API = "/api/v1/conversations";
const LIMIT = 2000; // Characters of one message, counted as the server counts them: code points.
const SEND_TIMEOUT = 30_000;
const QUIET = 45_000; // The server pings every 15 s: this long without a byte is a dead connection.
const LONGEST_PAUSE = 30_000;
const TIME_GAP = 5 * 60_000; // WeChat shows the time again after five minutes of silence.
const TITLE = document.title;
const AUTHORS = { user: ["我", "我"], bot: ["机", "机器人"], staff: ["值", "值班人员"] };

const at = (id) => document.getElementById(id);
const [scroller, log, choices, typing, latest] = ["scroll", "log", "choices", "typing", "latest"].map(at);
const [statusLine, large, human, entry, send, counter] = ["status", "large", "human", "entry", "send", "counter"].map(at);

// -- storage: a browser may forbid it, then the page works until it is closed ------------------------

function recall(area, key) {
  try { return JSON.parse(window[area].getItem(key)); } catch { return null; }
}

function keep(area, key, value) {
  try {
    if (value === null) window[area].removeItem(key);
    else window[area].setItem(key, JSON.stringify(value));
  } catch { /* Forbidden or full: nothing else depends on it. */ }
}

// -- HTTP ---------------------------------------------------------------------------------------------

/** A call that did not succeed, with the sentence for the citizen. `status` 0: the server was not reached. */
class Problem extends Error {
  constructor(status, said, wait) {
    const own = {
      0: navigator.onLine ? "没有连上服务器，请检查网络后重发。" : "网络断开了，连上后会自动重发。",
      401: "会话已失效。", 404: "会话已失效。",
      413: `消息太长，每条最多${LIMIT}字，请分几条发送。`,
      429: "发送得太快了，请稍等一会儿再发。",
      503: "系统暂时没有收下这条消息，请稍后重发。",
    };
    super((said || own[status] || "系统出了问题，请稍后重发。") + (wait ? `（约${wait}秒后可以再试）` : ""));
    this.status = status;
    this.wait = wait || 0;
    this.lost = status === 401 || status === 404;
    this.final = status === 413 || status === 422; // Sending the same again would fail again.
  }
}

async function request(path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (talk && path) sent.Authorization = `Bearer ${talk.token}`;
  if (body) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(API + path, { method, headers: sent, body: body && JSON.stringify(body), signal, cache: "no-store" });
  } catch {
    throw new Problem(0);
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  throw new Problem(response.status, said?.error?.message, Number(response.headers.get("Retry-After")));
}

async function call(path, options = {}) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), SEND_TIMEOUT);
  try {
    const response = await request(path, { ...options, signal: controller.signal });
    return { status: response.status, ...(await response.json()) };
  } catch (error) {
    throw error instanceof Problem ? error : new Problem(0); // A body that was cut off or is not JSON.
  } finally {
    clearTimeout(timer);
  }
}

// -- drawing ------------------------------------------------------------------------------------------

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** 第九条 for 9; the notice has fewer than a hundred measures. */
function clauseName(number) {
  const digits = "零一二三四五六七八九";
  const tens = Math.floor(number / 10);
  return `第${tens > 1 ? digits[tens] : ""}${tens ? "十" : ""}${number % 10 ? digits[number % 10] : ""}条`;
}

/** Plain text as paragraphs; the validity line (※) is small, a quotation of the notice is set off. */
function prose(text) {
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    const quoted = line.match(/^原文：(「.*」)——(.+)$/);
    if (quoted) return make("blockquote", {}, quoted[1], make("cite", {}, `——${quoted[2]}`));
    const kind = line.startsWith("※") ? "validity" : /^\d+\. /.test(line) ? "numbered" : "line";
    return make("p", { class: kind }, line);
  });
}

function drawSection(section, document) {
  const head = make("h2", {}, `${section.title} · ${clauseName(section.measure)}`);
  if (!section.specified) head.append(make("mark", {}, "通知没有写明"));
  const parts = [head, make("p", { class: "say" }, section.say)];
  if (section.conditions.length) parts.push(make("ol", {}, ...section.conditions.map((each) => make("li", {}, each))));
  if (section.note) parts.push(make("p", {}, section.note));
  const clause = make("blockquote", {}, `「${section.clause}」`, make("cite", {}, `——${document}`));
  parts.push(make("details", {}, make("summary", {}, `${clauseName(section.measure)}原文`), clause));
  return make("section", { class: "section" }, ...parts);
}

/** A policy answer as a card. What the text says before and after the clauses stands around it; where the
 *  text does not hold the sections, it is shown as it is: no word of an answer may be lost. */
function drawPolicy({ text, card, answer }) {
  const held = card.sections.filter((each) => text.includes(each.clause));
  if (!held.length) return prose(text);
  const begin = text.indexOf(card.sections.length > 1 ? `【${held[0].title}】` : held[0].say);
  if (begin < 0) return prose(text);
  const { clause } = held[held.length - 1];
  const end = text.indexOf("\n", text.lastIndexOf(clause) + clause.length);
  const document = (section) => answer?.citations?.find((each) => each.measure === section.measure)?.document || "";
  const cards = held.map((section) => drawSection(section, document(section)));
  return [...prose(text.slice(0, begin)), ...cards, ...prose(end < 0 ? "" : text.slice(end))];
}

async function copy(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without HTTPS there is no clipboard object; the old way works from a click.
    const box = make("textarea", { class: "unseen" });
    box.value = text;
    document.body.append(box);
    box.select();
    done = document.execCommand("copy");
    box.remove();
    button.focus();
  }
  button.textContent = done ? "已复制" : "请长按编号复制";
  setTimeout(() => { button.textContent = "复制编号"; }, 2500);
}

function drawReceipt(receipt, text) {
  const rows = receipt.numbers.map((number) => make("div", {}, make("strong", {}, number),
    make("button", { type: "button", "aria-label": `复制编号 ${number}`, onclick: (event) => copy(number, event.currentTarget) }, "复制编号")));
  const left = (receipt.deadlines || []).filter((each) => !text.includes(each));
  if (receipt.sms_code) left.unshift(`短信查询码 ${receipt.sms_code.slice(0, 10)} ${receipt.sms_code.slice(10)}`);
  return make("div", { class: "slip" }, make("h2", {}, "登记回执"), ...rows, ...left.map((each) => make("p", {}, each)));
}

function drawBubble(message) {
  const card = message.card || {};
  const own = message.author === "user"; // What a citizen typed has no structure of ours.
  const parts = own ? [make("p", {}, message.text)] : card.sections?.length ? drawPolicy(message) : prose(message.text);
  // The numbers to ring stand before the question that follows the instruction.
  if (card.call?.length) {
    const links = card.call.map((number) => make("a", { href: `tel:${number}` }, `拨打${number}`));
    parts.splice(1, 0, make("p", { class: "calls" }, ...links));
  }
  if (card.receipt?.numbers?.length) parts.push(drawReceipt(card.receipt, message.text));
  return make("div", { class: "bubble" }, ...parts);
}

function draw(message) {
  if (!AUTHORS[message.author]) return make("article", { class: "system" }, make("p", { class: "notice" }, message.text));
  const [sign, name] = AUTHORS[message.author];
  const label = message.author === "staff" ? make("p", { class: "name" }, name) : make("span", { class: "unseen" }, `${name}：`);
  const content = make("div", { class: "content" }, label, drawBubble(message));
  const row = make("div", { class: "row" }, make("span", { class: "avatar", "aria-hidden": "true" }, sign), content);
  return make("article", { class: message.answer ? `${message.author} is-${message.answer.kind}` : message.author }, row);
}

/** Something the page itself has to say. */
function note(text) {
  const drawn = draw({ author: "page", text });
  log.append(drawn);
  toEnd();
  return drawn;
}

const clock = new Intl.DateTimeFormat("zh-CN", { timeZone: "Asia/Shanghai", hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit" });
const parts = (when) => Object.fromEntries(clock.formatToParts(when).map(({ type, value }) => [type, value]));

function timeText(when, now = Date.now()) {
  const [then, today, yesterday] = [when, now, now - 86_400_000].map(parts);
  const same = (other) => then.year === other.year && then.month === other.month && then.day === other.day;
  const day = same(today) ? "" : same(yesterday) ? "昨天 " : `${then.year === today.year ? "" : `${then.year}年`}${then.month}月${then.day}日 `;
  return `${day}${then.hour}:${then.minute}`;
}

function drawTime(element) {
  if (!element?.dataset.time) return;
  element.querySelector(".time")?.remove();
  let before = element.previousElementSibling;
  while (before && !before.dataset.time) before = before.previousElementSibling;
  const when = Number(element.dataset.time);
  if (before && when - Number(before.dataset.time) < TIME_GAP) return;
  element.prepend(make("time", { class: "time", datetime: new Date(when).toISOString() }, timeText(when)));
}

// -- log: what the server has, in its order -----------------------------------------------------------

let talk = null; // {id, token} of the open conversation
let openedAt = 0;
let cursor = 0; // Everything up to this seq is on the page.
let owner = "bot";
const messages = new Map(); // seq → {message, element}
let outbox = []; // {id, text, choice, after, state: queued|sending|failed, element, seq}

/** Puts an element into the log: after what came before it, before what is still being sent. */
function place(element, seq) {
  let before = log.lastElementChild;
  while (before && (before === element || before.classList.contains("sending") || Number(before.dataset.seq) > seq)) {
    before = before.previousElementSibling;
  }
  // An element that stands right is not moved: a screen reader would read it twice.
  if (before ? before.nextElementSibling !== element : log.firstElementChild !== element) {
    if (before) before.after(element);
    else log.prepend(element);
  }
  drawTime(element);
  drawTime(element.nextElementSibling);
}

/** The own message that `message` is the stored form of. The log does not carry the client's id, so that a
 *  send whose response was lost is known by its text; the same id sent again stays harmless either way. */
function adopted(message) {
  const fits = (item) => !item.seq && item.after < message.seq &&
    (item.text === message.text || (item.choice && item.state === "sending"));
  return outbox.find((item) => item.state === "sending" && fits(item)) || outbox.find(fits);
}

/** Shows a message of the log once. `ordered`: it comes from the log itself, so nothing before it is missing. */
function show(message, { ordered = false, item = null } = {}) {
  if (ordered || message.seq === cursor + 1) cursor = Math.max(cursor, message.seq);
  if (messages.has(message.seq)) return null;
  const own = message.author === "user" ? item || adopted(message) : null;
  const element = own?.element || draw(message);
  if (own) {
    own.seq = message.seq;
    if (own.state !== "sending") drop(own);
    element.classList.remove("sending", "failed");
    element.querySelector(".state")?.remove();
    if (own.text !== message.text) element.querySelector(".bubble").replaceWith(drawBubble(message));
  }
  element.dataset.seq = message.seq;
  element.dataset.time = Date.parse(message.created_at);
  messages.set(message.seq, { message, element });
  place(element, message.seq);
  if (message.author !== "user") setTyping(false);
  if (message.author === "staff") owner = "person";
  if (message.author === "bot") owner = "bot";
  if (document.hidden && message.author !== "user") document.title = `（新消息）${TITLE}`;
  return element;
}

function showAll(list, options) {
  const added = list.map((message) => show(message, options)).filter(Boolean);
  offer();
  drawStatus();
  if (added.length) aim(added[0]);
  follow();
}

/** The buttons of the last turn. Older ones are gone: ids such as `next0` come again with another meaning. */
function offer() {
  const open = new Map();
  const last = [...messages.keys()].sort((a, b) => b - a);
  for (const seq of last) {
    const { message } = messages.get(seq);
    if (message.author === "user") break;
    for (const choice of [...(message.choices || [])].reverse()) if (!open.has(choice.id)) open.set(choice.id, choice);
  }
  const waiting = outbox.some((item) => item.state !== "failed");
  choices.hidden = waiting || !open.size;
  human.disabled = outbox.some((item) => item.text === "转人工" && item.state !== "failed");
  const key = JSON.stringify([last[0], ...open.keys()]);
  if (choices.dataset.key === key) return; // Buttons that stay keep the focus.
  choices.dataset.key = key;
  choices.replaceChildren(...[...open.values()].reverse().map((choice) =>
    make("button", { type: "button", onclick: () => { say(choice.label, choice.id); refocus(); } }, choice.label)));
}

// Follows the talk only while its end is in view; a long answer is shown from its beginning.
let atEnd = true;
let anchor = null;

/** The first of the new messages, or the question it answers, stays in view. */
function aim(first) {
  const before = first.previousElementSibling;
  anchor = log.hasAttribute("aria-busy") ? null : before?.classList.contains("user") ? before : first;
}

function follow() {
  if (atEnd) {
    const bottom = scroller.scrollHeight - scroller.clientHeight;
    scroller.scrollTop = anchor?.isConnected ? Math.min(bottom, anchor.offsetTop - 8) : bottom;
  }
  watchEnd();
}

function toEnd() {
  anchor = null;
  atEnd = true;
  follow();
}

function watchEnd() {
  atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
  latest.hidden = atEnd;
}

// -- status -------------------------------------------------------------------------------------------

let trouble = "";
let typingTimer = 0;

function drawStatus() {
  const known = owner === "person" ? "值班人员正在为您服务" : "自动回复，可随时转人工";
  const said = trouble || (typing.hidden ? known : "对方正在输入…");
  if (statusLine.textContent !== said) statusLine.textContent = said;
}

function setTyping(on, forget = SEND_TIMEOUT) {
  clearTimeout(typingTimer);
  typing.hidden = !on;
  if (on) {
    typingTimer = setTimeout(() => setTyping(false), forget);
    follow();
  }
  drawStatus();
}

// -- sending: one message at a time, so that the order on the server is the order of typing ----------

let pumping = false;

function newId() {
  // crypto.randomUUID exists on HTTPS only; this works in every context.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The tab keeps what is not confirmed: a reload offers it again under the same id. */
function saveOutbox() {
  const unsent = outbox.filter((item) => !item.seq).map(({ id, text, choice, after }) => ({ id, text, choice, after }));
  keep("sessionStorage", "hotline.outbox", unsent.length ? { talk: talk?.id, items: unsent } : null);
}

function drop(item) {
  outbox = outbox.filter((each) => each !== item);
  saveOutbox();
}

function mark(item, text, ...buttons) {
  item.element ||= draw({ author: "user", text: item.text });
  item.element.querySelector(".state")?.remove();
  item.element.classList.toggle("failed", item.state === "failed");
  item.element.classList.toggle("sending", item.state !== "failed");
  item.element.querySelector(".content").append(make("div", { class: "state", role: "status" }, make("span", {}, text), ...buttons));
}

function fail(item, problem) {
  item.state = "failed";
  item.network = problem.status === 0;
  const again = make("button", { type: "button", onclick: () => { retry(item); refocus(); } }, "重发");
  const edit = make("button", { type: "button", onclick: () => {
    drop(item);
    item.element.remove();
    entry.value = item.text + (entry.value && `\n${entry.value}`);
    typed();
    entry.focus();
  } }, "修改");
  // A button that expired is sent as its words instead; nothing was stored, so the id may stay.
  if (problem.status === 422 && item.choice) item.choice = undefined;
  else if (problem.final) return mark(item, problem.message, edit);
  return mark(item, problem.message, again);
}

function retry(item) {
  if (item.state !== "failed") return;
  enqueue(item);
}

function enqueue(item) {
  item.state = "queued";
  mark(item, "发送中…");
  log.append(item.element);
  saveOutbox();
  offer();
  toEnd();
  pump();
}

function say(text, choice) {
  const item = { id: newId(), text, choice, after: cursor };
  outbox.push(item);
  enqueue(item);
}

async function pump() {
  if (pumping) return;
  pumping = true;
  try {
    for (let item; (item = outbox.find((each) => each.state === "queued")); ) await deliver(item);
  } finally {
    pumping = false;
  }
}

async function deliver(item) {
  item.state = "sending";
  setTyping(owner === "bot");
  let session = null;
  try {
    if (!talk) await open();
    session = talk;
    const body = { client_message_id: item.id, ...(item.choice ? { choice: item.choice } : { text: item.text }) };
    const { status, message, replies } = await call(`/${session.id}/messages`, { method: "POST", body });
    drop(item);
    if (talk !== session) return; // Stored in a conversation that was left meanwhile.
    if (item.seq !== message.seq && messages.has(message.seq)) item.element.remove();
    if (status === 202) owner = "person";
    show(message, { item: item.seq ? null : item });
    showAll(replies);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (item.seq) drop(item); // The stream brought it: it was stored, only the response was lost.
    else if (problem.lost && session && abandon(session)) fail(item, new Problem(401, "这条没有发出，需要的话请在新会话里重发。"));
    else fail(item, problem);
    saveOutbox();
  } finally {
    setTyping(false);
    offer();
    if (item.state === "failed") atEnd = true;
    follow();
  }
}

// -- conversation and stream -------------------------------------------------------------------------

let opening = null;
let waker = new AbortController();

/** Opens a conversation, once even when the stream and a message want it at the same time. */
function open() {
  opening ||= (async () => {
    const opened = await call("", { method: "POST", body: { channel: "widget" } });
    talk = { id: opened.conversation_id, token: opened.token };
    openedAt = Date.now();
    keep("localStorage", "hotline.conversation", talk);
    showAll(opened.messages, { ordered: true });
    saveOutbox();
  })().finally(() => { opening = null; });
  return opening;
}

/** Leaves a conversation that the server does not know any more. False for one that was only just opened:
 *  then the fault is elsewhere, and opening one after another would not mend it. */
function abandon(session) {
  if (talk !== session) return true; // Left already, on another call's word.
  if (Date.now() - openedAt < 10_000) return false;
  talk = null;
  cursor = 0;
  owner = "bot";
  keep("localStorage", "hotline.conversation", null);
  // What is on the screen stays there: it may hold a receipt number.
  for (const { element } of messages.values()) delete element.dataset.seq;
  messages.clear();
  for (const item of outbox) Object.assign(item, { after: 0, choice: undefined, seq: undefined });
  note("原来的会话已经失效，为您新开了一个会话。之前登记的内容不受影响，可凭编号和手机号查询。");
  waker.abort();
  return true;
}

/** Reads the log after the cursor, page by page. */
async function pull() {
  const session = talk;
  for (;;) {
    const after = cursor;
    const { messages: page } = await call(`/${session.id}/messages?after=${after}`);
    if (talk !== session) throw new Problem(0);
    showAll(page, { ordered: true });
    if (!page.length || cursor === after) return;
  }
}

/** Server-sent events of a response body as {event, data}; comments (pings) come as null. */
async function* readEvents(body, alive) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let event = {};
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    text += decoder.decode(value, { stream: true });
    // A carriage return at the very end may be half of a line's end.
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    text = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data !== undefined) yield event;
        event = {};
      } else if (line.startsWith("event:")) event.event = line.slice(6).trim();
      else if (line.startsWith("data:")) event.data = (event.data === undefined ? "" : `${event.data}\n`) + line.slice(5).replace(/^ /, "");
    }
  }
}

function handle({ event = "message", data }) {
  let value;
  try { value = JSON.parse(data); } catch { return; }
  if (event === "message") showAll([value], { ordered: true });
  else if (event === "typing") setTyping(true, 6000);
  else if (event === "owner") { owner = value.owner === "person" ? "person" : "bot"; drawStatus(); }
}

/** EventSource cannot send the token, so the stream is a fetch; `Last-Event-ID` resumes after the cursor. */
async function stream(signal, alive) {
  const controller = new AbortController();
  const stop = () => controller.abort();
  signal.addEventListener("abort", stop);
  let timer = setTimeout(stop, QUIET);
  const beat = () => { clearTimeout(timer); timer = setTimeout(stop, QUIET); alive(); };
  try {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": String(cursor) };
    const response = await request(`/${talk.id}/events`, { headers, signal: controller.signal });
    beat();
    for await (const event of readEvents(response.body, beat)) handle(event);
  } catch (error) {
    throw error instanceof Problem ? error : new Problem(0);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    controller.abort();
  }
}

const pause = (milliseconds, signal) => new Promise((resolve) => {
  if (signal.aborted) return resolve();
  const timer = setTimeout(resolve, milliseconds);
  return signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
});

/** Keeps the page and the log the same, for as long as the page is open. */
async function live() {
  for (let tries = 0, told = null; ; ) {
    waker = new AbortController();
    const { signal } = waker;
    let wait = 0;
    let session = null;
    try {
      if (!talk) await open();
      session = talk;
      await pull();
      restoreOutbox();
      log.removeAttribute("aria-busy");
      await stream(signal, () => { tries = 0; told?.remove(); told = null; setTrouble(""); });
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (!signal.aborted && !(problem.lost && session && abandon(session))) {
        setTrouble("连接断开，正在重连…");
        wait = problem.wait * 1000;
        if (!messages.size) told ||= note(`${problem.message.replace("重发", "重试")}\n正在自动重连，着急的事请直接拨打12315。`);
      }
    }
    // Half of the pause is drawn by lot, so that pages do not come back all at once after an outage.
    const longest = Math.min(LONGEST_PAUSE, 1000 * 2 ** Math.min(tries, 6));
    if (signal.aborted) tries = 0;
    else tries += 1;
    await pause(Math.max(wait, longest * (0.5 + Math.random() / 2)), signal);
  }
}

function setTrouble(text) {
  trouble = text;
  drawStatus();
}

let unsaved = recall("sessionStorage", "hotline.outbox");

/** What the tab could not confirm before a reload, unless the log shows it by now. */
function restoreOutbox() {
  for (const item of outbox.filter((each) => !each.element)) {
    fail(item, new Problem(0, "还没有确认发出。"));
    log.append(item.element);
    item.network = false; // It may be old: the citizen decides.
  }
  if (unsaved) {
    unsaved = null;
    offer();
    toEnd();
  }
}

function wake() {
  document.title = TITLE;
  for (const item of outbox) if (item.network) retry(item);
  waker.abort();
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) wake(); });
window.addEventListener("online", wake);
window.addEventListener("offline", () => setTrouble("网络断开了，连上后会自动恢复"));
window.addEventListener("pageshow", (event) => { if (event.persisted) wake(); });

// -- controls -----------------------------------------------------------------------------------------

/** After a button is gone: to the box where there is a keyboard, else to the log, so that none pops up. */
function refocus() {
  if (matchMedia("(pointer: fine)").matches) entry.focus();
  else scroller.focus({ preventScroll: true });
}

function typed() {
  const size = [...entry.value.trim()].length;
  counter.textContent = size > LIMIT ? `超出${size - LIMIT}字` : size ? `${size}/${LIMIT}` : "";
  counter.classList.toggle("over", size > LIMIT);
  counter.setAttribute("aria-live", size > LIMIT * 0.9 ? "polite" : "off");
  entry.setAttribute("aria-invalid", String(size > LIMIT));
  send.disabled = !size || size > LIMIT;
  entry.style.height = "auto";
  entry.style.height = `${entry.scrollHeight + 2}px`;
}

function submit() {
  if (send.disabled) return;
  say(entry.value.trim());
  entry.value = "";
  typed();
}

function setLarge(on) {
  const wasAtEnd = atEnd;
  document.documentElement.classList.toggle("large", on);
  large.setAttribute("aria-pressed", String(on));
  typed();
  if (wasAtEnd) toEnd();
}

entry.addEventListener("input", typed);
entry.addEventListener("keydown", (event) => {
  // 229: Safari ends the composition before it reports the Enter that chose a word.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});
send.addEventListener("mousedown", (event) => event.preventDefault()); // The keyboard of a phone stays up.
send.addEventListener("click", submit);
human.addEventListener("click", () => say("转人工"));
latest.addEventListener("click", toEnd);
scroller.addEventListener("scroll", watchEnd, { passive: true });
new ResizeObserver(() => { if (atEnd) toEnd(); }).observe(scroller);
large.addEventListener("click", () => {
  const on = !document.documentElement.classList.contains("large");
  keep("localStorage", "hotline.large", on);
  setLarge(on);
});

talk = recall("localStorage", "hotline.conversation");
if (!talk?.id || !talk?.token) talk = null;
if (talk && unsaved?.talk === talk.id) outbox = unsaved.items.map((item) => ({ ...item, state: "failed" }));
setLarge(recall("localStorage", "hotline.large") === true);
live();
