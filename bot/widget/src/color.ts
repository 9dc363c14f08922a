/** The accent colour of an embedding page, made legible: WCAG 2 contrast of at least 4.5 in every use. */

const NEEDED = 4.5;
type Rgb = [number, number, number];

function parse(text: string): Rgb | null {
  const found = /^#?([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(text.trim());
  if (!found?.[1]) return null;
  const hex = found[1].length === 3 ? [...found[1]].map((each) => each + each).join("") : found[1];
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)) as Rgb;
}

function luminance(color: Rgb): number {
  const [r, g, b] = color.map((each) => {
    const part = each / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(one: Rgb, other: Rgb): number {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

const css = (color: Rgb) => `#${color.map((each) => Math.round(each).toString(16).padStart(2, "0")).join("")}`;

/** `accent` for grounds under white text and for text on white or light grey; darkened as far as needed. */
export function accentOf(wanted: string, fallback = "#06713a"): string {
  let color = parse(wanted) ?? (parse(fallback) as Rgb);
  // #ededed is the darkest ground that accent text stands on.
  while (contrast(color, [237, 237, 237]) < NEEDED) color = color.map((each) => each * 0.94) as Rgb;
  return css(color);
}
