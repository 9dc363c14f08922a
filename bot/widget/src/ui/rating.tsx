/** Satisfaction after the end, once a conversation; and 有帮助 / 没帮助 under an answer. */

import { Button, Card, CardContent, CardTitle, Icon } from "@chatui/core";
import { useState } from "preact/hooks";
import { Problem } from "../http";
import type { Hotline } from "../hotline";
import { keep, recall } from "../storage";

const SCORES = ["很不满意", "不满意", "一般", "满意", "很满意"];
const KEY = "hotline.rated";

/** Whether this conversation was rated on this device; `later` counts as well. */
export function rated(hotline: Hotline): boolean {
  return recall<string>("localStorage", KEY) === hotline.talk?.id;
}

export function Rating({ hotline, onDone }: { hotline: Hotline; onDone: () => void }) {
  const [score, setScore] = useState(0);
  const [comment, setComment] = useState("");
  const [state, setState] = useState<"" | "sending" | "done" | string>("");
  const send = async () => {
    if (!hotline.talk || !score) return;
    setState("sending");
    try {
      await hotline.api.rate(hotline.talk, score, comment.trim());
      keep("localStorage", KEY, hotline.talk.id);
      setState("done");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setState("没有送出，请稍后再试。");
    }
  };
  if (state === "done") {
    return (
      <p class="rating-thanks" role="status">
        谢谢您的评价，我们会据此改进。
      </p>
    );
  }
  return (
    <Card className="rating">
      <CardTitle>这次服务您满意吗？</CardTitle>
      <CardContent>
        <div class="scores" role="radiogroup" aria-label="满意程度">
          {SCORES.map((label, index) => (
            <label key={label} class={index + 1 <= score ? "score lit" : "score"}>
              <input type="radio" name="score" value={index + 1} checked={score === index + 1} onChange={() => setScore(index + 1)} />
              <Icon type="star" />
              <span>{label}</span>
            </label>
          ))}
        </div>
        {score > 0 && (
          <>
            <label class="comment">
              <span>想说的话（选填，请不要写个人信息）</span>
              <textarea rows={2} maxLength={500} value={comment} onInput={(event) => setComment(event.currentTarget.value)} />
            </label>
            <div class="rating-actions">
              <Button color="primary" size="sm" disabled={state === "sending"} onClick={send}>
                提交评价
              </Button>
              <Button
                size="sm"
                onClick={() => {
                  keep("localStorage", KEY, hotline.talk?.id);
                  onDone();
                }}
              >
                不评了
              </Button>
            </div>
            {state && state !== "sending" && <p role="alert">{state}</p>}
          </>
        )}
      </CardContent>
    </Card>
  );
}

const GIVEN = "hotline.feedback";

export function Feedback({ hotline, seq }: { hotline: Hotline; seq: number }) {
  const id = `${hotline.talk?.id}:${seq}`;
  const [given, setGiven] = useState<boolean | undefined>(recall<Record<string, boolean>>("localStorage", GIVEN)?.[id]);
  const give = async (helpful: boolean) => {
    if (!hotline.talk) return;
    const before = given;
    setGiven(helpful);
    try {
      await hotline.api.feedback(hotline.talk, seq, helpful);
      const all = Object.entries(recall<Record<string, boolean>>("localStorage", GIVEN) ?? {}).slice(-200);
      keep("localStorage", GIVEN, { ...Object.fromEntries(all), [id]: helpful });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setGiven(before);
    }
  };
  const button = (helpful: boolean, label: string) => (
    <button type="button" aria-pressed={given === helpful} onClick={() => give(helpful)}>
      <Icon type={helpful ? "up" : "down"} />
      {label}
    </button>
  );
  return (
    <div class="feedback" role="group" aria-label="这条回答">
      {button(true, "有帮助")}
      {button(false, "没帮助")}
    </div>
  );
}
