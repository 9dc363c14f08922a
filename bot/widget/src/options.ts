/** What the embedding page says on the script tag. */

import { accentOf } from "./color";

export interface Options {
  /** Origin of the gateway: where the script came from. */
  origin: string;
  title: string;
  accent: string;
  position: "left" | "right";
  open: boolean;
}

export const TITLE = "吉林12315智能助手（机器人）";

export function optionsOf(script: HTMLScriptElement): Options {
  const { title, color, position, open } = script.dataset;
  return {
    origin: new URL(script.src, location.href).origin,
    title: title?.trim() || TITLE,
    accent: accentOf(color ?? ""),
    position: position === "left" ? "left" : "right",
    open: open !== undefined && open !== "false",
  };
}
