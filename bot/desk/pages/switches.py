"""开关: what is in force on all channels, each change with its reason. In force within seconds, without a restart."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request
from nicegui import ui
from sqlalchemy import select as query
from sqlalchemy.orm import Session

from bot.conversations import switches as board
from bot.desk.pages.elements import box, button, field, section, select, text
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.words import render
from bot.policy import load
from bot.staff.models import Staff
from bot.staff.permissions import Permission

NAMES = {
    "notice": "紧急通告",
    "people_first": "人工优先",
    "bot_off": "停用机器人",
    "withdrawn": "停用答复",
    "validity": "效力状态",
}
VALIDITY = {"": "按通知数据", "unknown": "未核实", "lapsed": "已失效", "in_force": "仍有效"}


@ui.page("/switches", response_timeout=20)
async def switches(request: Request) -> None:
    """The page."""
    seat = await enter(request, "开关", Permission.SWITCHES)
    if seat is not None:
        await SwitchPage(seat).build()


def name_of(key: str) -> str:
    """withdrawn:9 → 停用答复 第9条."""
    name, _, number = key.partition(":")
    return f"{NAMES.get(name, name)}{f' 第{number}条' if number else ''}"


def value_of(key: str, value: Any) -> str:
    """The value in words."""
    if key.startswith("validity"):
        return VALIDITY.get(str(value), str(value))
    if key == "notice":
        return str(value) or "（撤下）"
    return "开" if value else "关"


class SwitchPage:
    """Each switch with its reason; the record below."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat

    async def build(self) -> None:
        """Draw it."""
        numbers = {n: f"第{n}条 {m.short}" for n, m in sorted(load().measures.items())}
        with self.seat.main:
            text("p", "改动几秒内对所有渠道生效，不用重启；每次都要写原因，并留下记录。", "soft")
            with box("columns").style("margin-top:.75rem"):
                with box("stack"):
                    with section("紧急通告"):
                        self.notice = field(f"所有渠道显示（最多{board.NOTICE_CHARACTERS}字）", long=True)
                        self._row(
                            "notice",
                            [("发布", lambda: self.notice.value or "", "primary"), ("撤下", lambda: "", "")],
                        )
                    with section("人工优先"):
                        text("p", "新会话先请值班员，机器人后说话。", "soft small")
                        self._onoff("people_first")
                    with section("停用机器人"):
                        text("p", "机器人只处理险情，其余都等人工。", "soft small")
                        self._onoff("bot_off")
                with box("stack"):
                    with section("停用一条的答复"):
                        self.measure = select("措施", numbers)
                        self._row(
                            lambda: f"withdrawn:{self.measure.value or 0}",
                            [("停用", lambda: True, "danger"), ("恢复", lambda: False, "")],
                        )
                    with section("效力状态"):
                        self.whose = select("范围", {0: "整个通知"} | numbers, 0)
                        self.validity = select("状态", VALIDITY, "")
                        self._row(
                            lambda: f"validity:{self.whose.value}" if self.whose.value else "validity",
                            [("生效", lambda: self.validity.value, "primary")],
                        )
            with section("记录"):
                self.log = ui.html("", sanitize=False)
        await self._load()

    def _onoff(self, key: str) -> None:
        self._row(key, [("打开", lambda: True, "danger"), ("关闭", lambda: False, "")])

    def _row(self, key: Any, acts: list[tuple[str, Any, str]]) -> None:
        reason = field("原因（必填）")
        label = name_of(key) if isinstance(key, str) else ""
        with box("btns"):
            for words, value, kind in acts:
                button(
                    words,
                    lambda value=value: self._set(key if isinstance(key, str) else key(), value(), reason),  # type: ignore[misc]
                    kind=kind,
                    name=f"{words}{label}",
                )

    async def _set(self, key: str, value: Any, reason: Any) -> None:
        def work(session: Session, now: datetime, staff: Staff) -> None:
            made = board.set_switch(
                session, key, value, reason=reason.value or "", by=self.seat.actor, now=now
            )
            self.seat.record(session, "switch", f"switch:{key}", now, value=value, reason=made.reason)

        with polite():
            await self.seat.write(Permission.SWITCHES, work)
            reason.set_value("")
            say(f"{name_of(key)}：{value_of(key, value)}")
        await self._load()

    async def _load(self) -> None:
        def work(session: Session, now: datetime) -> list[dict[str, Any]]:
            names = {f"staff:{u}": n for u, n in session.execute(query(Staff.username, Staff.name))}
            return [
                {
                    "at": row.set_at, "name": name_of(row.key), "value": value_of(row.key, row.value),
                    "reason": row.reason, "by": names.get(row.set_by, row.set_by),
                }
                for row in board.history(session, 50)
            ]  # fmt: skip

        with polite():
            history = await self.seat.read(work)
            self.log.set_content(render("switch_log", history=history, now=self.seat.desk.now()))
