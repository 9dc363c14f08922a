"""工单列表: search by number, phone or words, filters, keyset pages, files.

What is looked for stays on the page: a phone number in an address would stand in every log on its way.
"""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui
from sqlalchemy.orm import Session

from bot.cases import search, workflow
from bot.cases.calendar import local_date
from bot.cases.models import STATUSES, CaseType
from bot.cases.routing import table
from bot.crypto import mask_phone
from bot.desk.pages.elements import box, button, field, select, shortcut, text
from bot.desk.pages.frame import enter
from bot.desk.pages.rows import CaseRow, case_row
from bot.desk.pages.seat import Seat, polite
from bot.desk.pages.words import CHANNELS, render, show
from bot.staff.models import Staff
from bot.staff.permissions import Permission

PAGE = 40
FLAGS = {"urgent": "紧急", "supervised": "督办中", "overdue": "已超期", "open": "在办", "closed": "已结束"}
ORDERS = {"newest": "最新登记", "urgent": "紧急和最早", "due": "时限最近"}


def departments() -> list[str]:
    """All departments of the routing table."""
    routes = table()
    names = [rule.department for rule in routes.rules] + [also for rule in routes.rules for also in rule.also]
    return sorted({*names, *(default.department for default in routes.defaults.values())})


@ui.page("/cases", response_timeout=20)
async def cases(request: Request, flag: str = "") -> None:
    """The list; `?flag=overdue` opens it narrowed."""
    seat = await enter(request, "工单", Permission.SEE_CASES)
    if seat is not None:
        await CaseList(seat, flag if flag in FLAGS else "").build()


class CaseList:
    """The list's state: what is looked for, the marks of the pages before."""

    def __init__(self, seat: Seat, flag: str) -> None:
        self.seat, self.flag = seat, flag
        self.marks: list[str | None] = [None]
        self.found = search.Found([])
        self.audited = ""

    async def build(self) -> None:
        """Draw it."""
        with self.seat.main:
            with box("panel"):
                with box("search-row"):
                    self.query = field("编号、电话、全国平台编号或内容里的词")
                    self.query.props("clearable autofocus").on("keydown.enter", self._search, [])
                    shortcut(self.query, "/", "查找")
                    button("查找", self._search, kind="primary")
                with box("filters"):
                    self.type = self._select("类型", {kind.value: kind.label for kind in CaseType})
                    self.stage = self._select("阶段", {s.value: s.label for s in workflow.Stage})
                    words = dict.fromkeys(word for known in STATUSES.values() for word in known)
                    self.status = self._select("对外状态", list(words))
                    self.department = self._select("部门", departments())
                    self.channel = self._select("渠道", CHANNELS)
                    self.flags = self._select("标记", FLAGS, self.flag or None)
                    self.order = select("排序", ORDERS, "newest").on_value_change(self._search)
            with box("head"):
                self.summary = text("p", "", "soft")
                self.summary._props["role"] = "status"
                box("grow")
                self.files = box("btns")
            with box("panel"):
                self.table = show("case_table", cases=[])
            with box("btns"):
                self.back = button("上一页", self._back, key="[")
                self.next = button("下一页", self._next, key="]")
        await self._load()

    def _select(self, label: str, options: Any, value: Any = None) -> ui.select:
        return select(label, options, value).props("clearable").on_value_change(self._search)  # type: ignore[return-value]

    def _filters(self) -> search.Filters:
        flag: str | None = self.flags.value
        filters = search.Filters(
            type=self.type.value,
            stage=self.stage.value,
            status=self.status.value,
            department=self.department.value,
            channel=self.channel.value,
        )
        if flag in ("open", "closed"):
            return replace(filters, open=flag == "open")
        known: dict[str, Any] = {flag: True} if flag else {}
        return replace(filters, **known)

    async def _search(self) -> None:
        self.marks = [None]
        await self._load()

    async def _next(self) -> None:
        if self.found.after:
            self.marks.append(self.found.after)
            await self._load()

    async def _back(self) -> None:
        if len(self.marks) > 1:
            self.marks.pop()
            await self._load()

    async def _load(self) -> None:
        words = unicodedata.normalize("NFKC", self.query.value or "").strip()
        filters, after = self._filters(), self.marks[-1]
        order: search.Order = self.order.value or "newest"

        def work(session: Session, now: datetime) -> tuple[search.Found, list[CaseRow]]:
            today = local_date(now)
            if words:
                found = search.look_up(session, words, filters, today=today, after=after, limit=PAGE)
            else:
                found = search.cases(session, filters, today=today, order=order, after=after, limit=PAGE)
            return found, [case_row(case, today) for case in found.cases]

        with polite():
            self.found, rows = await self.seat.read(work)
            if self.found.by == "phone" and words != self.audited:
                await self._note_phone(words, len(rows))
            self._show(rows, words, filters)

    async def _note_phone(self, words: str, count: int) -> None:
        """Who looks somebody up by their phone number is in the audit log."""

        def work(session: Session, now: datetime, staff: Staff) -> None:
            self.seat.record(session, "case.search_phone", f"phone:{mask_phone(words)}", now, found=count)

        await self.seat.write(Permission.SEE_CASES, work)
        self.audited = words

    def _show(self, rows: list[CaseRow], words: str, filters: search.Filters) -> None:
        self.table.set_content(render("case_table", cases=rows, now=self.seat.desk.now()))
        how = {
            "list": ORDERS[self.order.value or "newest"], "number": "按编号", "phone": "按电话", "platform": "按平台编号",
            "words": f"含“{'”“'.join(self.found.words)}”" if self.found.words else "按内容",
        }[self.found.by]  # fmt: skip
        more = "，还有下一页" if self.found.after else ""
        self.summary.set_text(f"第{len(self.marks)}页，本页{len(rows)}件（{how}{more}）")
        self.back._props["disabled"] = len(self.marks) == 1
        self.next._props["disabled"] = not self.found.after
        self.back.update()
        self.next.update()
        self._links(words, filters)

    def _links(self, words: str, filters: search.Filters) -> None:
        self.files.clear()
        # A phone number must not stand in the address of a download.
        if not self.seat.may(Permission.EXPORT) or self.found.by == "phone":
            return
        wanted = {
            key: str(value).lower() if isinstance(value, bool) else value
            for key, value in asdict(filters).items()
        }
        wanted = {key: value for key, value in wanted.items() if value is not None} | (
            {"q": words} if words else {}
        )
        if not words:
            wanted["order"] = self.order.value or "newest"
        with self.files:
            for kind in ("csv", "xlsx"):
                anchor = ui.element("a").classes("btn")
                anchor._props["href"] = f"/api/v1/cases/export.{kind}?{urlencode(wanted)}"
                anchor._props["download"] = ""
                with anchor:
                    text("span", f"导出 {kind}（已遮盖）")
