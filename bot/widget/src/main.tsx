/** `<script src="…/widget.js" data-hotline></script>` puts the chat on a page, in a shadow root of its own. */

import { render } from "preact";
import chatui from "./chatui.less?inline";
import { Hotline } from "./hotline";
import { Api } from "./http";
import { optionsOf } from "./options";
import own from "./style.css?inline";
import { App } from "./ui/app";

const TAG = "hotline-chat";

/** A constructed style sheet needs no 'unsafe-inline' in the page's CSP; old browsers get a style element. */
function dress(root: ShadowRoot, css: string): void {
  if ("adoptedStyleSheets" in root && "replaceSync" in CSSStyleSheet.prototype) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];
  } else {
    const style = document.createElement("style");
    style.textContent = css;
    (root as ShadowRoot).append(style);
  }
}

function mount(script: HTMLScriptElement): void {
  if (document.querySelector(TAG)) return; // A page that embeds it twice shows it once.
  const options = optionsOf(script);
  const host = document.createElement(TAG);
  host.lang = "zh-CN";
  host.style.setProperty("--accent", options.accent);
  host.dataset.position = options.position;
  const root = host.attachShadow({ mode: "open" });
  dress(root, chatui + own);
  document.body.append(host);
  render(<App hotline={new Hotline(new Api(options.origin))} options={options} host={host} />, root);
  // Any element of the page may open the chat: data-hotline-open, with words to ask at once or without.
  document.addEventListener("click", (event) => {
    const opener = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-hotline-open]") : null;
    if (!opener) return;
    event.preventDefault();
    host.dispatchEvent(new CustomEvent("hotline-open", { detail: opener.dataset.hotlineOpen }));
  });
}

const script =
  document.currentScript instanceof HTMLScriptElement
    ? document.currentScript
    : document.querySelector<HTMLScriptElement>("script[data-hotline]");
if (script) {
  if (document.body) mount(script);
  else document.addEventListener("DOMContentLoaded", () => mount(script));
}
