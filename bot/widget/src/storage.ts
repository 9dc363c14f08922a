/** Browser storage. A browser may forbid it: then the widget works until the page is closed. */

type Area = "localStorage" | "sessionStorage";

export function recall<T>(area: Area, key: string): T | null {
  try {
    return JSON.parse(window[area].getItem(key) ?? "null") as T | null;
  } catch {
    return null;
  }
}

export function keep(area: Area, key: string, value: unknown): void {
  try {
    if (value === null || value === undefined) window[area].removeItem(key);
    else window[area].setItem(key, JSON.stringify(value));
  } catch {
    // Forbidden or full: nothing else depends on it.
  }
}

/** All keys of localStorage that begin with `prefix`. */
export function keysOf(prefix: string): string[] {
  try {
    return Object.keys(window.localStorage).filter((key) => key.startsWith(prefix));
  } catch {
    return [];
  }
}
