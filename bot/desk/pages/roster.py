"""值班表和交接班: who is on duty, that nobody is missing, and what one shift leaves to the next."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from fastapi import Request
from nicegui import ui
from sqlalchemy import select as query
from sqlalchemy.orm import Session

from bot.cases.calendar import local_date
from bot.desk import handover
from bot.desk.pages.elements import box, button, field, section, text
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.words import day as day_words
from bot.desk.pages.words import render, show
from bot.staff import roster as duty
from bot.staff.models import Staff
from bot.staff.permissions import Permission, may

WEEK = 7
ITEMS = {
    "waiting": "等待接入", "in_hand": "接待中的会话", "urgent_cases": "紧急工单", "clocks_due": "明天前到期的时限",
    "call_backs": "待回电", "dead_letters": "发送失败",
}  # fmt: skip


@ui.page("/roster", response_timeout=20)
async def roster(request: Request) -> None:
    """The roster."""
    seat = await enter(request, "值班表", Permission.ANSWER)
    if seat is not None:
        await RosterPage(seat).build()


class RosterPage:
    """A week of posts, and the hand-over of the shift."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.first = local_date(seat.desk.now())

    async def build(self) -> None:
        """Draw it."""
        with self.seat.main:
            with box("columns"):
                with section("现在值班"):
                    self.now = ui.html("", sanitize=False)
                with section("空缺检查"):
                    self.gaps = ui.html("", sanitize=False)
            with section("一周排班"):
                with box("btns no-print").style("margin-bottom:.5rem"):
                    button("上一周", lambda: self._move(-WEEK), key="[")
                    button("本周", lambda: self._move(0))
                    button("下一周", lambda: self._move(WEEK), key="]")
                    if self.seat.may(Permission.ROSTER):
                        button("照上一周排", self._copy)
                self.table = box("table-wrap")
            with box("columns"):
                with section("交班"):
                    self.items = ui.html("", sanitize=False)
                    self.remarks = field("要交代的事", long=True)
                    button("交班", self._hand_over, kind="primary", key="h")
                with section("交接班记录"):
                    self.reports = box()
        await self._load()

    async def _move(self, days: int) -> None:
        today = local_date(self.seat.desk.now())
        self.first = self.first + timedelta(days=days) if days else today
        await self._load()

    async def _load(self) -> None:
        first = self.first

        def work(session: Session, now: datetime) -> dict[str, Any]:
            day, period = duty.period_at(now)
            names = dict(session.execute(query(Staff.id, Staff.name)).all())
            able = query(Staff).where(Staff.active.is_(True)).order_by(Staff.name)
            return {
                "now": {
                    "day": day, "period": period, "until": duty.ends_at(now),
                    "posts": {post: who.name if who else "" for post, who in duty.on_duty(session, now).items()},
                },
                "plan": {k: v.id if v else None for k, v in duty.plan(session, first, WEEK).items()},
                "gaps": duty.gaps(session, first, WEEK),
                "able": {one.id: one.name for one in session.scalars(able) if may(one, Permission.ANSWER)},
                "names": names,
                "items": handover.open_items(session, now),
                "reports": [
                    {
                        "id": r.id, "day": r.day, "period": r.period, "content": r.content,
                        "written_by": names.get(r.written_by), "written_at": r.written_at, "mine": r.written_by == self.seat.staff.id,
                        "taken_by": names.get(r.taken_by or ""), "taken_at": r.taken_at,
                    }
                    for r in duty.reports(session, 8)
                ],
            }  # fmt: skip

        with polite():
            found = await self.seat.read(work)
            now = self.seat.desk.now()
            self.now.set_content(render("roster_now", **found["now"], now=now))
            self.gaps.set_content(render("gaps", gaps=found["gaps"]))
            self.items.set_content(render("open_items", items=_plain(found["items"]), labels=ITEMS))
            self._table(found)
            self._reports(found["reports"], now)

    def _table(self, found: dict[str, Any]) -> None:
        days = [self.first + timedelta(days=n) for n in range(WEEK)]
        today = local_date(self.seat.desk.now())
        editable = self.seat.may(Permission.ROSTER)
        self.table.clear()
        with self.table, ui.element("table").classes("roster"):
            with ui.element("thead"), ui.element("tr"):
                text("th", "班次")
                for one in days:
                    text("th", day_words(one), "today" if one == today else "")
            with ui.element("tbody"):
                for period in duty.PERIODS:
                    for post in duty.POSTS:
                        with ui.element("tr"):
                            text("th", f"{period}班 {post}")
                            for one in days:
                                self._cell(one, period, post, found, editable)

    def _cell(self, day: date, period: str, post: str, found: dict[str, Any], editable: bool) -> None:
        holder = found["plan"].get((day, period, post))
        with ui.element("td").classes("" if holder else "gap"):
            if not editable:
                text("span", found["names"].get(holder, "空缺") if holder else "空缺")
                return
            options = {"": "空缺"} | found["able"]
            if holder and holder not in options:
                options[holder] = f"{found['names'].get(holder, '')}（已停用）"
            made = ui.select(options, value=holder or "").props("dense borderless options-dense")
            made._props["aria-label"] = f"{day_words(day)}{period}班{post}"
            made.on_value_change(lambda event: self._assign(day, period, post, event.value))

    async def _assign(self, day: date, period: str, post: str, staff_id: str) -> None:
        def work(session: Session, now: datetime, by: Staff) -> None:
            who = session.get(Staff, staff_id) if staff_id else None
            duty.assign(session, day, period, post, who, by=by, now=now)

        with polite():
            await self.seat.write(Permission.ROSTER, work)
        await self._load()

    async def _copy(self) -> None:
        first = self.first
        with polite():
            added = await self.seat.write(
                Permission.ROSTER,
                lambda s, now, by: duty.copy_week(s, first - timedelta(days=WEEK), first, by=by, now=now),
            )
            say(f"排上了{added}个岗位。")
        await self._load()

    async def _hand_over(self) -> None:
        with polite():
            await self.seat.write(
                Permission.ANSWER,
                lambda s, now, by: duty.write_report(
                    s, by, handover.open_items(s, now), self.remarks.value or "", now=now
                ),
            )
            self.remarks.set_value("")
            say("已交班，等接班人签收。")
        await self._load()

    async def _sign(self, report_id: int) -> None:
        with polite():
            await self.seat.write(
                Permission.ANSWER, lambda s, now, by: duty.take_over(s, report_id, by, now=now)
            )
            say("已接班。")
        await self._load()

    def _reports(self, reports: list[dict[str, Any]], now: datetime) -> None:
        self.reports.clear()
        with self.reports:
            if not reports:
                text("p", "还没有交接班记录。", "empty")
            for report in reports:
                report["content"] = {
                    "items": _plain(report["content"]["items"]),
                    "remarks": report["content"]["remarks"],
                }
                show("reports", r=report, labels=ITEMS, now=now)
                if not report["taken_by"] and not report["mine"]:
                    button("签收接班", lambda report=report: self._sign(report["id"]), kind="primary")  # type: ignore[misc]


SHOWN = (
    "case",
    "conversation",
    "reason",
    "with",
    "status",
    "clock",
    "department",
    "kind",
    "due_on",
    "overdue",
    "urgent",
)


def _plain(items: dict[str, Any]) -> dict[str, Any]:
    """Items with every key that the template looks at."""
    return {
        key: {
            "count": items.get(key, {}).get("count", 0),
            "shown": [dict.fromkeys(SHOWN, "") | one for one in items.get(key, {}).get("shown", [])],
        }
        for key in ITEMS
    }
