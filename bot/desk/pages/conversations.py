"""会话: the newest conversations, mine first; older ones by keyset."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request
from nicegui import ui
from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session

from bot.conversations.models import Conversation, HandOver
from bot.desk.pages.elements import box, button, text
from bot.desk.pages.elements import select as choice
from bot.desk.pages.frame import enter, follow
from bot.desk.pages.live import Picture, last_lines
from bot.desk.pages.seat import Seat, polite
from bot.desk.pages.words import CHANNELS, render, show
from bot.staff.permissions import Permission

PAGE = 40
WHICH = {"all": "全部", "mine": "我接待的", "person": "有人接待的", "waiting": "等待接入的"}
Mark = tuple[datetime, str]


@ui.page("/conversations", response_timeout=20)
async def conversations(request: Request) -> None:
    """The list."""
    seat = await enter(request, "会话", Permission.ANSWER)
    if seat is not None:
        await TalkList(seat).build()


class TalkList:
    """The list's state."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.marks: list[Mark | None] = [None]
        self.more: Mark | None = None

    async def build(self) -> None:
        """Draw it; the first page follows the news."""
        with self.seat.main:
            with box("filters").style("max-width:24rem;margin-bottom:.75rem"):
                self.which = choice("哪些", WHICH, "all").on_value_change(self._first)
                self.channel = choice("渠道", CHANNELS).props("clearable").on_value_change(self._first)
            with box("panel"):
                self.table = show("talks", talks=[])
            with box("btns"):
                button("上一页", self._back, key="[")
                button("下一页", self._next, key="]")
                self.place = text("span", "", "soft")

        async def fresh(_: Picture) -> None:
            if len(self.marks) == 1:
                await self._load()

        await self._load()
        follow(self.seat, fresh)

    async def _first(self) -> None:
        self.marks = [None]
        await self._load()

    async def _next(self) -> None:
        if self.more:
            self.marks.append(self.more)
            await self._load()

    async def _back(self) -> None:
        if len(self.marks) > 1:
            self.marks.pop()
            await self._load()

    async def _load(self) -> None:
        which, channel, mark, me = self.which.value, self.channel.value, self.marks[-1], self.seat.staff.id

        def work(session: Session, now: datetime) -> tuple[list[dict[str, Any]], Mark | None]:
            waiting = exists().where(HandOver.conversation_id == Conversation.id, HandOver.state == "waiting")
            query = select(Conversation, waiting)
            if which == "mine":
                query = query.where(Conversation.owner_id == me)
            elif which == "person":
                query = query.where(Conversation.owner == "person")
            elif which == "waiting":
                query = query.where(waiting)
            if channel:
                query = query.where(Conversation.channel == channel)
            if mark:
                at, last = mark
                query = query.where(
                    or_(
                        Conversation.updated_at < at,
                        and_(Conversation.updated_at == at, Conversation.id < last),
                    )
                )
            query = query.order_by(Conversation.updated_at.desc(), Conversation.id.desc()).limit(PAGE + 1)
            rows = session.execute(query).all()
            shown = rows[:PAGE]
            lines = last_lines(session, [row[0].id for row in shown])
            talks = [
                {
                    "id": c.id, "channel": c.channel, "owner_name": c.owner_name if c.owner == "person" else "",
                    "waiting": waits, "at": c.updated_at, "text": lines[c.id].text if c.id in lines else "",
                }
                for c, waits in shown
            ]  # fmt: skip
            more = (shown[-1][0].updated_at, shown[-1][0].id) if len(rows) > PAGE else None
            return talks, more

        with polite():
            talks, self.more = await self.seat.read(work)
            self.table.set_content(render("talks", talks=talks, now=self.seat.desk.now()))
            self.place.set_text(f"第{len(self.marks)}页" + ("" if self.more else "，没有更早的了"))
