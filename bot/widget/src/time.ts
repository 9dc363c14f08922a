/** Times as WeChat shows them: none within five minutes of the last, the day only when it is not today. */

const GAP = 5 * 60_000;
const DAY = 86_400_000;
const clock = new Intl.DateTimeFormat("zh-CN", {
  timeZone: "Asia/Shanghai",
  hourCycle: "h23",
  year: "numeric",
  month: "numeric",
  day: "numeric",
  weekday: "short",
  hour: "2-digit",
  minute: "2-digit",
});

function parts(when: number): Record<string, string> {
  return Object.fromEntries(clock.formatToParts(when).map(({ type, value }) => [type, value]));
}

export function timeText(when: number, now = Date.now()): string {
  const [then, today, yesterday] = [when, now, now - DAY].map(parts) as [Record<string, string>, Record<string, string>, Record<string, string>];
  const same = (other: Record<string, string>) => ["year", "month", "day"].every((each) => then[each] === other[each]);
  const time = `${then.hour}:${then.minute}`;
  if (same(today)) return time;
  if (same(yesterday)) return `昨天 ${time}`;
  return `${then.year === today.year ? "" : `${then.year}年`}${then.month}月${then.day}日 ${time}`;
}

/** Whether a message at `when` shows its time, after the last one shown at `shown`. */
export function showsTime(when: number, before: number | null): boolean {
  return before === null || when - before >= GAP;
}
