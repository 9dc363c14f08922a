"""死信: what could not be sent, and another try."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request
from nicegui import ui
from sqlalchemy.orm import Session

from bot.desk.pages.elements import box, button, section, text
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.words import full_time
from bot.errors import HotlineError, Problem
from bot.outbox import queue
from bot.staff.models import Staff
from bot.staff.permissions import Permission

KINDS = {"department": "部门推送", "sms": "短信", "wechat": "微信"}


@ui.page("/dead-letters", response_timeout=20)
async def dead_letters(request: Request) -> None:
    """The page."""
    seat = await enter(request, "死信", Permission.DEAD_LETTERS)
    if seat is not None:
        await DeadLetters(seat).build()


class DeadLetters:
    """Deliveries that were given up."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat

    async def build(self) -> None:
        """Draw it."""
        with self.seat.main:
            self.counts = text("p", "", "soft")
            with section("没有发出去的"):
                self.table = box("table-wrap")
            button("刷新", self._load, key="r")
        await self._load()

    async def _load(self) -> None:
        def work(session: Session, now: datetime) -> tuple[list[dict[str, Any]], dict[str, int]]:
            found = [
                {
                    "id": d.id, "kind": KINDS.get(d.kind, d.kind), "case": d.case_number, "talk": d.conversation_id,
                    "department": d.target.get("department") or "", "attempts": d.attempts, "error": d.last_error or "",
                    "at": d.created_at, "delivery_id": d.delivery_id,
                }
                for d in queue.dead_letters(session)
            ]  # fmt: skip
            return found, queue.counts(session)

        with polite():
            found, counts = await self.seat.read(work)
            self.counts.set_text(
                f"等待发送 {counts['pending']}，发送中 {counts['leased']}，已放弃 {counts['dead']}"
            )
            self.table.clear()
            with self.table:
                if not found:
                    text("p", "没有发送失败的。", "empty")
                    return
                with ui.element("table"):
                    with ui.element("thead"), ui.element("tr"):
                        for title in ("时间", "种类", "给谁", "试了几次", "最后的错误", "操作"):
                            text("th", title)
                    with ui.element("tbody"):
                        for one in found:
                            self._row(one)

    def _row(self, one: dict[str, Any]) -> None:
        with ui.element("tr"):
            text("td", full_time(one["at"]), "nowrap")
            text("td", one["kind"])
            with ui.element("td"):
                to = (
                    f"/cases/{one['case']}"
                    if one["case"]
                    else f"/conversations/{one['talk']}"
                    if one["talk"]
                    else ""
                )
                text("span", f"{one['department']} ")
                if to:
                    anchor = ui.element("a")
                    anchor._props["href"] = to
                    with anchor:
                        text("span", one["case"] or "看会话")
            text("td", str(one["attempts"]))
            text("td", one["error"], "small")
            with ui.element("td"):
                button("再发一次", lambda: self._revive(one["id"]), name=f"再发一次 {one['delivery_id']}")

    async def _revive(self, letter_id: int) -> None:
        def work(session: Session, now: datetime, staff: Staff) -> None:
            if not queue.revive(session, letter_id, now):
                raise HotlineError(Problem.NOT_FOUND)
            self.seat.record(session, "outbox.revive", f"delivery:{letter_id}", now)

        with polite():
            await self.seat.write(Permission.DEAD_LETTERS, work)
            say("已重新排队。")
        await self._load()
