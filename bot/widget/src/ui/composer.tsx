/** Where the citizen writes: text, attachments, one-key calls. */

import { Icon } from "@chatui/core";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { LIMIT } from "../http";

const MOST_BYTES = 5 * 1024 * 1024;
const TYPES = ["image/jpeg", "image/png", "image/webp", "application/pdf"];

interface Props {
  draft: string;
  onDraft: (text: string) => void;
  onSend: (text: string) => void;
  onFile: (file: File) => void;
  onRate: () => void;
  /** Changes whenever the box is to have the focus. */
  focus: number;
}

export function Composer({ draft, onDraft, onSend, onFile, onRate, focus }: Props) {
  const box = useRef<HTMLTextAreaElement>(null);
  const [more, setMore] = useState(false);
  const [refused, setRefused] = useState("");
  const size = [...draft.trim()].length;
  const over = size - LIMIT;

  useLayoutEffect(() => {
    const entry = box.current;
    if (!entry) return;
    entry.style.height = "auto";
    entry.style.height = `${entry.scrollHeight + 2}px`;
  }, [draft]);
  useEffect(() => {
    if (!focus) return;
    box.current?.focus({ preventScroll: true });
    box.current?.setSelectionRange(draft.length, draft.length);
  }, [focus]);

  const submit = () => {
    if (!size || over > 0) return;
    onSend(draft.trim());
    setMore(false);
  };
  const key = (event: KeyboardEvent) => {
    // 229: Safari ends the composition before it reports the Enter that chose a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  };
  const choose = (files: FileList | File[] | null) => {
    const bad = [...(files ?? [])].map(unfit).find(Boolean) ?? "";
    setRefused(bad);
    if (bad) return;
    for (const file of files ?? []) onFile(file);
    setMore(false);
  };
  const paste = (event: ClipboardEvent) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    choose(files);
  };

  return (
    <div class="composer">
      {refused && (
        <p class="refused" role="alert">
          {refused}
        </p>
      )}
      <div class="entry-row">
        <button type="button" class="round" aria-expanded={more} aria-label="图片、文件和更多" onClick={() => setMore(!more)}>
          <Icon type="plus" />
        </button>
        <label class="unseen" for="entry">
          输入消息，回车发送，Shift加回车换行，每条最多{LIMIT}字
        </label>
        <textarea
          id="entry"
          ref={box}
          rows={1}
          enterkeyhint="send"
          autocomplete="off"
          placeholder="说说您的问题"
          aria-invalid={over > 0}
          aria-describedby="counter"
          value={draft}
          onInput={(event) => onDraft(event.currentTarget.value)}
          onKeyDown={key}
          onPaste={paste}
        />
        <button
          type="button"
          class="send"
          disabled={!size || over > 0}
          onMouseDown={(event) => event.preventDefault() /* The keyboard of a phone stays up. */}
          onClick={submit}
        >
          发送
        </button>
      </div>
      <output id="counter" for="entry" class={over > 0 ? "counter over" : "counter"} aria-live={size > LIMIT * 0.9 ? "polite" : "off"}>
        {over > 0 ? `超出${over}字` : size > LIMIT / 2 ? `${size}/${LIMIT}` : ""}
      </output>
      {more && <More choose={choose} onSend={onSend} onRate={onRate} close={() => setMore(false)} />}
    </div>
  );
}

/** Why a file cannot be sent, or empty. The server looks at its content again. */
function unfit(file: File): string {
  if (!TYPES.includes(file.type)) return `“${file.name}”不能发送：只收图片（JPG、PNG、WebP）和PDF。`;
  if (file.size > MOST_BYTES) return `“${file.name}”太大：每个文件最多5MB。`;
  if (!file.size) return `“${file.name}”是空的。`;
  return "";
}

interface MoreProps {
  choose: (files: FileList | null) => void;
  onSend: (text: string) => void;
  onRate: () => void;
  close: () => void;
}

/** The panel behind the plus, as WeChat has it. */
function More({ choose, onSend, onRate, close }: MoreProps) {
  const pick = (icon: string, label: string, accept: string, capture?: "environment") => (
    <label class="tile">
      <span class="tile-icon">
        <Icon type={icon} />
      </span>
      {label}
      <input
        type="file"
        class="unseen"
        accept={accept}
        multiple={!capture}
        {...(capture ? { capture } : {})}
        onChange={(event) => {
          choose(event.currentTarget.files);
          event.currentTarget.value = "";
        }}
      />
    </label>
  );
  const act = (icon: string, label: string, run: () => void) => (
    <button
      type="button"
      class="tile"
      onClick={() => {
        run();
        close();
      }}
    >
      <span class="tile-icon">
        <Icon type={icon} />
      </span>
      {label}
    </button>
  );
  return (
    <div class="more" role="group" aria-label="更多">
      {pick("image", "图片", TYPES.slice(0, 3).join())}
      {matchMedia("(pointer: coarse)").matches && pick("camera", "拍照", "image/jpeg", "environment")}
      {pick("file", "PDF文件", "application/pdf")}
      {act("search", "查进度", () => onSend("查进度"))}
      {act("person", "转人工", () => onSend("转人工"))}
      {act("star", "评价服务", onRate)}
      <p class="more-hint">发来的图片和文件只有办理的工作人员能看到，每个最多5MB。</p>
    </div>
  );
}
