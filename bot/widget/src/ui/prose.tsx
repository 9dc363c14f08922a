/** Plain text of the server: text nodes and nothing else. */

import { linesOf } from "../entries";

export function Prose({ text }: { text: string }) {
  return (
    <>
      {linesOf(text).map((line, index) => {
        const quoted = /^原文：(「.*」)——(.+)$/.exec(line);
        if (quoted) {
          return (
            <blockquote key={index}>
              {quoted[1]}
              <cite>——{quoted[2]}</cite>
            </blockquote>
          );
        }
        const kind = line.startsWith("※") ? "validity" : /^\d+\. /.test(line) ? "numbered" : "line";
        return (
          <p class={kind} key={index}>
            {line}
          </p>
        );
      })}
    </>
  );
}
