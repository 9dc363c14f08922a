/** The intake card: what is known so far, each line changed by tapping it; privacy notice; confirm. */

import { Button, Card, CardActions, CardContent, CardTitle, Icon } from "@chatui/core";
import { useState } from "preact/hooks";
import type { Choice, IntakeCard as Intake, KnownField, Message } from "../types";
import { Prose } from "./prose";

interface Props {
  message: Message;
  /** Whether this is the question that is open now: a card of an earlier turn would only repeat itself. */
  current: boolean;
  choices: Choice[];
  onSay: (text: string, choice?: string) => void;
}

export const SUBMIT = "确认提交";

/** The text before and after the numbered summary, which the card shows in parts; all of it before, where the
 *  summary is not found. */
export function around(text: string, known: KnownField[]): [string, string] {
  const rows = known.map(({ label, value }, index) => `${index + 1}. ${label}：${value}`).join("\n");
  const at = rows ? text.indexOf(rows) : -1;
  if (at < 0) return [text, ""];
  return [text.slice(0, at).replace(/【[^【】\n]*】\n$/, ""), text.slice(at + rows.length)];
}

function Line({ row, open, onSay }: { row: KnownField; open: boolean; onSay: Props["onSay"] }) {
  const [editing, setEditing] = useState(false);
  const [value, setValue] = useState("");
  if (editing) {
    const send = () => {
      if (!value.trim()) return;
      setEditing(false);
      onSay(`${row.label}改为${value.trim()}`);
    };
    return (
      <li class="field editing">
        <label>
          <span class="field-label">{row.label}改为</span>
          <input
            value={value}
            ref={(input) => input?.focus({ preventScroll: true })}
            inputMode={row.field === "phone" ? "tel" : "text"}
            maxLength={500}
            onInput={(event) => setValue(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && !event.isComposing && event.keyCode !== 229) send();
              if (event.key === "Escape") {
                event.stopPropagation();
                setEditing(false);
              }
            }}
          />
        </label>
        <span class="field-actions">
          <Button size="sm" color="primary" disabled={!value.trim()} onClick={send}>
            改好了
          </Button>
          <Button size="sm" onClick={() => setEditing(false)}>
            不改
          </Button>
        </span>
      </li>
    );
  }
  const words = (
    <>
      <span class="field-label">{row.label}</span>
      <span class="field-value">{row.value}</span>
    </>
  );
  return (
    <li class="field">
      {open ? (
        <button type="button" class="field-button" onClick={() => setEditing(true)}>
          {words}
          <span class="field-change">改</span>
        </button>
      ) : (
        <span class="field-button">{words}</span>
      )}
    </li>
  );
}

function Known({ intake, open, onSay }: { intake: Intake; open: boolean; onSay: Props["onSay"] }) {
  return (
    <ul class="fields">
      {(intake.known ?? []).filter((row) => row.filled || intake.step === "review").map((row) => (
        <Line key={row.field} row={row} open={open} onSay={onSay} />
      ))}
    </ul>
  );
}

function Review({ intake, open, choices, onSay }: { intake: Intake; open: boolean; choices: Choice[]; onSay: Props["onSay"] }) {
  const submit = choices.find((choice) => choice.label === SUBMIT);
  return (
    <Card className="review">
      <CardTitle>{`${intake.name ?? ""}登记内容`}</CardTitle>
      <CardContent>
        <Known intake={intake} open={open} onSay={onSay} />
        {open && <p class="hint">哪一项不对，点一下就能改。</p>}
      </CardContent>
      {submit && (
        <CardActions direction="column">
          <Button color="primary" block onClick={() => onSay(submit.label, submit.id)}>
            {submit.label}
          </Button>
        </CardActions>
      )}
    </Card>
  );
}

export function Privacy({ text }: { text: string }) {
  return (
    <details class="privacy">
      <summary>
        <Icon type="shield" />
        <span>隐私告知全文</span>
        <Icon type="chevron-down" />
      </summary>
      <div class="privacy-text">
        <Prose text={text.replace(/^【隐私告知】\n/, "")} />
      </div>
    </details>
  );
}

export function IntakeMessage({ message, current, choices, onSay }: Props) {
  const intake = message.card?.intake;
  const known = intake?.known ?? [];
  const privacy = message.card?.privacy;
  const progress = current && intake?.step === "collecting" && known.some((row) => row.filled);
  const review = intake?.step === "review" && known.length > 0;
  const [before, after] = review ? around(message.text, known) : [message.text, ""];
  return (
    <>
      <Prose text={before} />
      {privacy && <Privacy text={privacy} />}
      {review && intake && <Review intake={intake} open={current} choices={choices} onSay={onSay} />}
      <Prose text={after} />
      {progress && intake && <Progress intake={intake} onSay={onSay} />}
    </>
  );
}

function Progress({ intake, onSay }: { intake: Intake; onSay: Props["onSay"] }) {
  const known = intake.known?.filter((row) => row.filled).length ?? 0;
  const missing = intake.missing ?? [];
  return (
    <details class="progress">
      <summary>
        <span class="bar" aria-hidden="true">
          {[...Array(known + missing.length)].map((_, index) => (
            <i key={index} class={index < known ? "done" : ""} />
          ))}
        </span>
        <span>
          已记下{known}项{missing.length > 0 && `，还差${missing.length}项`}
        </span>
        <Icon type="chevron-down" />
      </summary>
      <Known intake={intake} open onSay={onSay} />
      {missing.length > 0 && <p class="hint">还差：{missing.join("、")}。要改哪一项，点一下就行。</p>}
    </details>
  );
}
