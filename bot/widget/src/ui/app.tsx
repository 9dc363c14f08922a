/** The launcher and the panel; a full screen on a phone. */

import { Icon } from "@chatui/core";
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import type { Options } from "../options";
import type { Hotline } from "../hotline";
import { keep, recall } from "../storage";
import type { Item } from "../types";
import { Composer } from "./composer";
import { IconSprite } from "./icons";
import { List } from "./list";
import { Rating, rated } from "./rating";

const NARROW = "(max-width: 640px)";

interface Props {
  hotline: Hotline;
  options: Options;
  host: HTMLElement;
}

export function App({ hotline, options, host }: Props) {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const [open, setOpen] = useState(() => options.open || recall<boolean>("sessionStorage", "hotline.open") === true);
  const launcher = useRef<HTMLButtonElement>(null);
  const opened = useRef(false);

  useEffect(() => hotline.subscribe(() => redraw(0)), [hotline]);
  useEffect(() => {
    const asked = (event: Event) => {
      setOpen(true);
      const text = (event as CustomEvent<string>).detail;
      if (text) hotline.say(text);
    };
    host.addEventListener("hotline-open", asked);
    return () => host.removeEventListener("hotline-open", asked);
  }, [host, hotline]);
  useEffect(() => {
    keep("sessionStorage", "hotline.open", open || null);
    hotline.watch(open);
    if (open) hotline.start();
    else if (opened.current) launcher.current?.focus();
    opened.current = open;
  }, [open, hotline]);

  return (
    <>
      <IconSprite />
      {open ? (
        <Panel hotline={hotline} options={options} host={host} onClose={() => setOpen(false)} />
      ) : (
        <button ref={launcher} type="button" class="launcher" aria-haspopup="dialog" onClick={() => setOpen(true)}>
          <Icon type="chat" />
          <span>在线咨询</span>
          {hotline.unread > 0 && (
            <em>
              {hotline.unread}
              <span class="unseen">条新消息</span>
            </em>
          )}
        </button>
      )}
    </>
  );
}

function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const query = matchMedia(NARROW);
    const change = () => setNarrow(query.matches);
    query.addEventListener("change", change);
    return () => query.removeEventListener("change", change);
  }, []);
  return narrow;
}

/** On a phone the keyboard covers a part of the screen: the panel keeps to what is left of it. */
function useVisibleHeight(host: HTMLElement, on: boolean): void {
  useEffect(() => {
    const view = window.visualViewport;
    if (!on) return;
    const before = document.documentElement.style.overflow;
    document.documentElement.style.overflow = "hidden";
    const fit = () => {
      host.style.setProperty("--height", `${view?.height ?? window.innerHeight}px`);
      host.style.setProperty("--top", `${view?.offsetTop ?? 0}px`);
    };
    fit();
    view?.addEventListener("resize", fit);
    view?.addEventListener("scroll", fit);
    return () => {
      document.documentElement.style.overflow = before;
      view?.removeEventListener("resize", fit);
      view?.removeEventListener("scroll", fit);
    };
  }, [host, on]);
}

function Panel({ hotline, options, host, onClose }: Props & { onClose: () => void }) {
  const narrow = useNarrow();
  const panel = useRef<HTMLDivElement>(null);
  const [large, setLarge] = useState(() => recall<boolean>("localStorage", "hotline.large") === true);
  const [draft, setDraft] = useState(() => recall<string>("localStorage", "hotline.draft") ?? "");
  const [focus, setFocus] = useState(0);
  const [rating, setRating] = useState(false);
  useVisibleHeight(host, narrow);
  // On the host: its custom properties are worked out there.
  useLayoutEffect(() => void host.toggleAttribute("data-large", large), [host, large]);
  useEffect(() => {
    // With a mouse the box is ready to be written in; on a phone that would raise the keyboard.
    if (matchMedia("(pointer: fine)").matches) setFocus(1);
    else panel.current?.focus({ preventScroll: true });
  }, []);

  const type = (text: string) => {
    setDraft(text);
    keep("localStorage", "hotline.draft", text || null);
  };
  const written = useRef(draft);
  written.current = draft;
  const say = (text: string, choice?: string) => {
    hotline.say(text, choice);
    if (matchMedia("(pointer: fine)").matches) setFocus((count) => count + 1);
  };
  const edit = (item: Item) => {
    hotline.withdraw(item);
    type(item.text + (written.current && `\n${written.current}`));
    setFocus((count) => count + 1);
  };
  const key = (event: KeyboardEvent) => {
    if (event.key === "Escape") onClose();
    if (event.key === "Tab" && narrow) keepInside(event, panel.current);
  };
  const last = hotline.log[hotline.log.length - 1];
  const ended = last?.answer?.kind === "receipt" || last?.card?.rating === true;
  const [, name, tag] = /^(.+?)(?:（(.+)）)?$/.exec(options.title) ?? [];

  return (
    <div
      ref={panel}
      class="panel"
      role="dialog"
      aria-modal={narrow}
      aria-label={options.title}
      tabIndex={-1}
      onKeyDown={key}
    >
      <header class="bar-top">
        <button type="button" class="bar-button" onClick={onClose} aria-label="收起">
          <Icon type={narrow ? "close" : "chevron-down"} />
        </button>
        <div class="bar-main">
          <h2>
            {name}
            {tag && <small>{tag}</small>}
          </h2>
          <Status hotline={hotline} />
        </div>
        <button
          type="button"
          class="bar-button"
          aria-pressed={large}
          onClick={() => {
            keep("localStorage", "hotline.large", !large || null);
            setLarge(!large);
          }}
        >
          大字
        </button>
        <button type="button" class="bar-button person" disabled={asksForPerson(hotline)} onClick={() => say("转人工")}>
          <Icon type="person" />
          人工
        </button>
      </header>
      <Banner hotline={hotline} />
      <List hotline={hotline} acts={{ say, edit }}>
        {(rating || (ended && !rated(hotline))) && <Rating hotline={hotline} onDone={() => setRating(false)} />}
      </List>
      <footer>
        <p class="urgent">
          人身危险请先拨 <a href="tel:110">110</a>
          <a href="tel:119">119</a>
          <a href="tel:120">120</a>
        </p>
        <Composer
          draft={draft}
          onDraft={type}
          onSend={(text) => {
            say(text);
            type("");
          }}
          onFile={(file) => hotline.attach(file)}
          onRate={() => setRating(true)}
          focus={focus}
        />
      </footer>
    </div>
  );
}

function asksForPerson(hotline: Hotline): boolean {
  return hotline.outbox.some((item) => item.text === "转人工" && item.state !== "failed");
}

function Status({ hotline }: { hotline: Hotline }) {
  const { owner, typing, trouble } = hotline;
  const person = owner.name ? `${owner.name} 正在为您服务` : owner.owner === "person" ? "值班人员正在为您服务" : "";
  const known = person || "机器人自动回复，可随时转人工";
  return (
    <p class={trouble ? "status trouble" : "status"} role="status">
      {trouble || (typing ? "对方正在输入…" : known)}
    </p>
  );
}

/** The place in the queue; and what to do while the server cannot be reached at all. */
function Banner({ hotline }: { hotline: Hotline }) {
  const { queue } = hotline.owner;
  if (hotline.trouble && !hotline.messages.size) {
    return (
      <p class="banner warn" role="alert">
        暂时连不上，正在自动重连。着急的事请直接拨打 <a href="tel:12315">12315</a>。
      </p>
    );
  }
  if (!queue) return null;
  const wait = queue.wait_minutes ? `，大约${queue.wait_minutes}分钟` : "";
  const before = queue.place - 1;
  return (
    <p class="banner" role="status">
      <Icon type="person" />
      <span>{before > 0 ? `正在排队，您前面还有${before}位${wait}` : `正在排队，下一位就是您${wait}`}。等待时可以继续问我。</span>
    </p>
  );
}

/** A full screen is all there is: Tab goes round in it. */
function keepInside(event: KeyboardEvent, panel: HTMLElement | null): void {
  const all = panel?.querySelectorAll<HTMLElement>("button:not([disabled]), a[href], input, textarea, summary, [tabindex='0']");
  const [first, last] = [all?.[0], all?.[(all?.length ?? 0) - 1]];
  const now = (panel?.getRootNode() as ShadowRoot | undefined)?.activeElement;
  if (event.shiftKey && (now === first || now === panel)) {
    event.preventDefault();
    last?.focus();
  } else if (!event.shiftKey && now === last) {
    event.preventDefault();
    first?.focus();
  }
}
