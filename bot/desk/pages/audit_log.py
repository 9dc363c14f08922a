"""审计: who saw or changed what, and whether the chain holds."""

from __future__ import annotations

from datetime import datetime

from fastapi import Request
from nicegui import ui
from sqlalchemy import select as query
from sqlalchemy.orm import Session

from bot import audit
from bot.audit import AuditEntry
from bot.desk.pages.elements import box, button, field, text
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite
from bot.desk.pages.words import render
from bot.staff.permissions import Permission

PAGE = 100


@ui.page("/audit", response_timeout=20)
async def audit_log(request: Request) -> None:
    """The page."""
    seat = await enter(request, "审计", Permission.AUDIT)
    if seat is not None:
        await AuditPage(seat).build()


class AuditPage:
    """The log, newest first."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.before: int | None = None

    async def build(self) -> None:
        """Draw it."""
        with self.seat.main:
            with box("head"):
                button("核对哈希链", self._verify, kind="primary", key="v")
                self.result = text("p", "")
                self.result._props["role"] = "status"
            with box("filters").style("max-width:40rem;margin-bottom:.75rem"):
                self.actor = field("谁（如 staff:agent）").on("keydown.enter", self._first, [])
                self.subject = field("对象（如 case:编号）").on("keydown.enter", self._first, [])
                button("查找", self._first)
            with box("panel"):
                self.table = ui.html("", sanitize=False)
            button("更早的", self._load, key="]")
        await self._first()

    async def _first(self) -> None:
        self.before = None
        await self._load()

    async def _load(self) -> None:
        actor, subject, before = (
            (self.actor.value or "").strip(),
            (self.subject.value or "").strip(),
            self.before,
        )

        def work(session: Session, now: datetime) -> list[AuditEntry]:
            wanted = query(AuditEntry).order_by(AuditEntry.id.desc()).limit(PAGE)
            if actor:
                wanted = wanted.where(AuditEntry.actor == actor)
            if subject:
                wanted = wanted.where(AuditEntry.subject == subject)
            if before:
                wanted = wanted.where(AuditEntry.id < before)
            return list(session.scalars(wanted))

        with polite():
            entries = await self.seat.read(work)
            self.before = entries[-1].id if entries else self.before
            self.table.set_content(render("audit", entries=entries))

    async def _verify(self) -> None:
        def work(session: Session, now: datetime) -> tuple[str, int]:
            broken = audit.verify(session)
            return str(broken or ""), audit.head(session)[0]

        with polite():
            broken, entries = await self.seat.read(work)
            self.result.set_text(f"核对不符：{broken}" if broken else f"{entries}条，前后相符，没有被改动。")
            self.result.classes(replace="warn-text" if broken else "tag calm")
