/** One line of the list: time, avatar, bubble or card, and how far a sent message is. */

import { memo } from "preact/compat";
import { Bubble, FileCard, Icon, SystemMessage } from "@chatui/core";
import type { Entry } from "../entries";
import type { Hotline } from "../hotline";
import { timeText } from "../time";
import type { Choice, Item, Message as Sent } from "../types";
import { IntakeMessage } from "./intake";
import { PolicyCard } from "./policy";
import { Prose } from "./prose";
import { Feedback } from "./rating";
import { ReceiptMessage } from "./receipt";

const NAMES = { user: "我", bot: "机器人", staff: "值班人员", system: "" } as const;
const SIGNS = { user: "我", bot: "12315", staff: "值班" } as const;
const RATED_KINDS = ["policy", "notice", "fallback"];

export interface Acts {
  say: (text: string, choice?: string) => void;
  /** Takes a text that could not be sent back into the box. */
  edit: (item: Item) => void;
}

interface Props {
  entry: Entry;
  hotline: Hotline;
  acts: Acts;
  /** The bot's newest message, not answered yet; only its card can be acted on. */
  current: boolean;
  choices: Choice[];
  staffName: string | null;
}

/** Drawn again only when something of it has changed: a log may be long. */
export const Message = memo(Line, (before, now) => {
  const same = (each: (props: Props) => unknown) => each(before) === each(now);
  const choices = (props: Props) => props.choices.map((choice) => choice.id).join();
  return (
    same((each) => each.entry.message) && same((each) => each.entry.item) && same((each) => each.entry.drawn) &&
    same((each) => each.entry.time) && same((each) => each.current) && same((each) => each.staffName) && same(choices)
  );
});

function Line(props: Props) {
  const { entry } = props;
  const when = new Date(entry.at);
  return (
    <article class={`entry ${entry.message?.author ?? "user"}`} data-seq={entry.message?.seq || undefined}>
      {entry.time && (
        <time class="stamp" dateTime={when.toISOString()}>
          {timeText(entry.at)}
        </time>
      )}
      {entry.message?.author === "system" ? <SystemMessage content={entry.message.text} /> : <Row {...props} />}
    </article>
  );
}

function Row({ entry, hotline, acts, current, choices, staffName }: Props) {
  const author = (entry.message?.author ?? "user") as "user" | "bot" | "staff";
  const name = author === "staff" ? (entry.message?.name ?? staffName) : NAMES[author];
  const { message, item } = entry;
  return (
    <div class={`Message ${author === "user" ? "right" : "left"}`}>
      <div class="Message-main">
        <span class={`avatar avatar-${author}`} aria-hidden="true">
          {SIGNS[author]}
        </span>
        <div class="Message-inner">
          <span class={author === "staff" ? "author" : "unseen"}>{author === "staff" ? `${name ? `${name} · ` : ""}值班人员` : `${name}：`}</span>
          {message ? <Said message={message} hotline={hotline} acts={acts} current={current} choices={choices} /> : item && <Waiting item={item} hotline={hotline} acts={acts} />}
        </div>
      </div>
    </div>
  );
}

type SaidProps = Pick<Props, "hotline" | "acts" | "current" | "choices"> & { message: Sent };

function Said({ message, hotline, acts, current, choices }: SaidProps) {
  const kind = message.answer?.kind ?? "";
  if (message.attachments?.length) {
    return (
      <>
        {message.attachments.map((each) => (
          <FileCard key={each.id} file={{ name: each.name, size: each.size } as File} />
        ))}
      </>
    );
  }
  const card = message.card ?? {};
  const own = message.author === "user";
  return (
    <>
      <Bubble type="text" className={`Bubble text is-${kind || "plain"}`}>
        {own ? (
          <p class="typed">{message.text}</p>
        ) : card.call?.length ? (
          <Emergency message={message} />
        ) : card.sections?.length ? (
          <PolicyCard message={message} />
        ) : card.receipt ? (
          <ReceiptMessage message={message} onSay={acts.say} />
        ) : (
          <IntakeMessage message={message} current={current} choices={choices} onSay={acts.say} />
        )}
      </Bubble>
      {!own && RATED_KINDS.includes(kind) && message.seq > 0 && <Feedback hotline={hotline} seq={message.seq} />}
    </>
  );
}

/** The numbers to ring stand before the question that follows the instruction. */
function Emergency({ message }: { message: Sent }) {
  const at = message.text.indexOf("\n");
  const first = at < 0 ? message.text : message.text.slice(0, at);
  return (
    <>
      <p class="danger">{first}</p>
      <p class="calls">
        {message.card?.call?.map((number) => (
          <a key={number} href={`tel:${number}`}>
            <Icon type="phone" />
            拨打{number}
          </a>
        ))}
      </p>
      {at >= 0 && <Prose text={message.text.slice(at)} />}
    </>
  );
}

function Waiting({ item, hotline, acts }: { item: Item; hotline: Hotline; acts: Acts }) {
  const failed = item.state === "failed";
  const take = () => (item.isFile ? hotline.withdraw(item) : acts.edit(item));
  return (
    <div class={failed ? "waiting failed" : "waiting sending"}>
      {item.isFile ? (
        <FileCard file={{ name: item.file?.name ?? item.text.replace(/^\[..\] /, ""), size: item.file?.size } as File} />
      ) : (
        <Bubble type="text">
          <p class="typed">{item.text}</p>
        </Bubble>
      )}
      <div class="state" role="status">
        {failed && <i aria-hidden="true">!</i>}
        <span>{failed ? item.problem : item.isFile ? "上传中…" : "发送中…"}</span>
        {failed && !item.final && (
          <button type="button" onClick={() => hotline.retry(item)}>
            重发
          </button>
        )}
        {failed && (item.final || item.isFile) && (
          <button type="button" onClick={take}>
            {item.isFile ? "知道了" : "修改"}
          </button>
        )}
      </div>
    </div>
  );
}
