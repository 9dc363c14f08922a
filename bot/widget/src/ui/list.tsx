/** The list of messages: follows the talk while its end is in view; a long answer is shown from its question. */

import { Typing } from "@chatui/core";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { entriesOf } from "../entries";
import type { Hotline } from "../hotline";
import { type Acts, Message } from "./message";
import { SUBMIT } from "./intake";

const NEAR = 60; // px from the end that still count as being there

interface Props {
  hotline: Hotline;
  acts: Acts;
  children?: ComponentChildren;
}

export function List({ hotline, acts, children }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const placed = useRef(0);
  const [away, setAway] = useState(false);
  const entries = entriesOf(hotline);
  const last = entries[entries.length - 1];
  const bots = entries.filter((each) => each.message?.author === "bot");
  const newest = bots[bots.length - 1];
  // Cards of earlier turns are void, as their buttons are.
  const since = newest ? entries.slice(entries.indexOf(newest) + 1) : [];
  const current = since.some((each) => each.own && !each.message?.attachments && !each.item?.isFile) ? undefined : newest;
  const choices = hotline.choices;
  const ready = hotline.ready;

  const follow = () => {
    const box = scroller.current;
    if (!box || !following.current) return;
    const end = box.scrollHeight - box.clientHeight;
    const own = [...box.querySelectorAll<HTMLElement>("article.user")].pop();
    // Whoever asked sees the question with the beginning of its answer, and scrolls on from there.
    const target = own && ready ? Math.min(end, own.offsetTop - 8) : end;
    placed.current = target;
    box.scrollTop = target;
    setAway(end - target > NEAR);
  };
  useEffect(() => {
    // A message of one's own always comes into view.
    if (last?.own) following.current = true;
    follow();
  }, [last?.key, ready]);
  useLayoutEffect(follow, [entries.length, hotline.typing, choices.length]);
  useEffect(() => {
    const watcher = new ResizeObserver(follow);
    if (scroller.current) watcher.observe(scroller.current);
    return () => watcher.disconnect();
  }, []);

  const scrolled = () => {
    const box = scroller.current;
    if (!box) return;
    const left = box.scrollHeight - box.clientHeight - box.scrollTop;
    following.current = left < NEAR || Math.abs(box.scrollTop - placed.current) < 4;
    setAway(left > NEAR);
  };
  const toEnd = () => {
    const box = scroller.current;
    if (box) box.scrollTop = box.scrollHeight;
  };
  const chips = choices.filter((choice) => !(choice.label === SUBMIT && newest?.message?.card?.intake?.step === "review"));

  return (
    <div class="list">
      <div class="scroller" ref={scroller} tabIndex={0} role="region" aria-label="聊天记录" onScroll={scrolled}>
        <div role="log" aria-live="polite" aria-relevant="additions" aria-busy={!ready}>
          {entries.map((entry) => (
            <Message
              key={entry.key}
              entry={entry}
              hotline={hotline}
              acts={acts}
              current={entry === current}
              choices={entry === current ? choices : []}
              staffName={hotline.owner.name}
            />
          ))}
        </div>
        {chips.length > 0 && (
          <div class="choices" role="group" aria-label="可以这样回复">
            {chips.map((choice) => (
              <button type="button" key={choice.id} onClick={() => acts.say(choice.label, choice.id)}>
                {choice.label}
              </button>
            ))}
          </div>
        )}
        {children}
        {hotline.typing && (
          <div class="typist Message left" aria-hidden="true">
            <Typing />
          </div>
        )}
      </div>
      {away && (
        <button type="button" class="latest" onClick={toEnd}>
          ↓ 看下面
        </button>
      )}
    </div>
  );
}
