/** The receipt card (回执): number, copy, what it means, clocks, how to ask how far it is. */

import { Button, Card, CardActions, CardContent, CardTitle, Icon } from "@chatui/core";
import { useState } from "preact/hooks";
import type { Message, ReceiptCase } from "../types";
import { Prose } from "./prose";

const grouped = (code: string) => `${code.slice(0, 10)} ${code.slice(10)}`;

async function copied(text: string, near: Element): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without HTTPS there is no clipboard object; the old way works from a click.
    const box = document.createElement("textarea");
    box.value = text;
    near.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}

function Copy({ number }: { number: string }) {
  const [said, setSaid] = useState("复制编号");
  const copy = async (event: { currentTarget: EventTarget | null }) => {
    const button = event.currentTarget as HTMLElement;
    const done = await copied(number, button.parentElement ?? button);
    button.focus();
    setSaid(done ? "已复制" : "请长按编号复制");
    setTimeout(() => setSaid("复制编号"), 2500);
  };
  return (
    <Button size="sm" color="primary" onClick={copy as any}>
      <span aria-live="polite">{said}</span>
    </Button>
  );
}

function Slip({ of }: { of: ReceiptCase }) {
  return (
    <div class="slip">
      <p class="slip-type">{of.type}编号</p>
      <div class="slip-number">
        <strong>{of.number}</strong>
        <Copy number={of.number} />
      </div>
      <dl>
        <div>
          <dt>登记时间</dt>
          <dd>{of.registered_at}</dd>
        </div>
        <div>
          <dt>短信查询码</dt>
          <dd>{grouped(of.sms_code)}</dd>
        </div>
        {of.query_code && (
          <div class="secret">
            <dt>查询口令</dt>
            <dd>
              <strong>{of.query_code}</strong>
              <span>口令只显示这一次，请记好。</span>
            </dd>
          </div>
        )}
      </dl>
      <p class="meaning">{of.meaning}</p>
      {of.deadlines.length > 0 && (
        <ul class="clocks">
          {of.deadlines.map((each) => (
            <li key={each}>{each}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function ReceiptMessage({ message, onSay }: { message: Message; onSay: (text: string) => void }) {
  const receipt = message.card?.receipt;
  const cases = receipt?.cases ?? [];
  if (!receipt || !cases.length) return <Prose text={message.text} />;
  const how = cases.every((each) => each.query_code)
    ? "凭编号和查询口令随时可以查进度。"
    : "凭编号和登记的手机号随时可以查进度。";
  return (
    <Card className="receipt">
      <CardTitle className="receipt-title">
        <Icon type="check" />
        已登记
      </CardTitle>
      <CardContent>
        {cases.map((each) => (
          <Slip key={each.number} of={each} />
        ))}
        <p class="hint">{how}</p>
      </CardContent>
      <CardActions>
        <Button onClick={() => onSay(`查进度 ${cases[0]?.number}`)}>查这件的进度</Button>
      </CardActions>
    </Card>
  );
}
