/** The measure card: title, plain answer, conditions, folded verbatim clause (第N条); around it the rest. */

import { Card, CardContent, Icon } from "@chatui/core";
import { clauseName } from "../entries";
import type { Message, Section } from "../types";
import { Prose } from "./prose";

function Measure({ section, document }: { section: Section; document: string }) {
  const clause = clauseName(section.measure);
  return (
    <section class="measure">
      <h3 class="measure-head">
        <span class="badge">{clause}</span>
        <span class="measure-title">{section.title}</span>
        {!section.specified && <mark>通知没有写明</mark>}
      </h3>
      <p class="say">{section.say}</p>
      {section.conditions.length > 0 && (
        <ol class="conditions">
          {section.conditions.map((each) => (
            <li key={each}>{each}</li>
          ))}
        </ol>
      )}
      {section.note && <p class="measure-note">{section.note}</p>}
      <details>
        <summary>
          <span>{clause}原文</span>
          <Icon type="chevron-down" />
        </summary>
        <blockquote>
          「{section.clause}」<cite>——{document}</cite>
        </blockquote>
      </details>
    </section>
  );
}

/** The text split around the sections that it holds; null where it does not hold them: no word of an answer
 *  may be lost, so it is shown as it is. */
export function split(text: string, sections: Section[]): { before: string; held: Section[]; after: string } | null {
  const held = sections.filter((each) => text.includes(each.clause));
  const [first] = held;
  const last = held[held.length - 1];
  if (!first || !last) return null;
  const begin = text.indexOf(sections.length > 1 ? `【${first.title}】` : first.say);
  if (begin < 0) return null;
  const end = text.indexOf("\n", text.lastIndexOf(last.clause) + last.clause.length);
  return { before: text.slice(0, begin), held, after: end < 0 ? "" : text.slice(end) };
}

export function PolicyCard({ message }: { message: Message }) {
  const parts = split(message.text, message.card?.sections ?? []);
  if (!parts) return <Prose text={message.text} />;
  const document = (section: Section) =>
    message.answer?.citations?.find((each) => each.measure === section.measure)?.document ?? "";
  return (
    <>
      <Prose text={parts.before} />
      <Card className="policy">
        <CardContent>
          {parts.held.map((section) => (
            <Measure key={section.measure} section={section} document={document(section)} />
          ))}
        </CardContent>
      </Card>
      <Prose text={parts.after} />
    </>
  );
}
