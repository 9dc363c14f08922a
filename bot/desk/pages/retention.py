"""留存: what is over its time, erasing it, and one person's data (个人信息保护法 Art 45, 47)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import Request
from nicegui import ui

from bot.desk import retention as service
from bot.desk.pages.elements import Ask, box, button, field, section, text
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.words import render
from bot.errors import HotlineError, Problem
from bot.staff.permissions import Permission

LABELS = {
    "cases": "工单里的个人信息", "conversations": "会话", "drafts": "没有提交的登记", "deliveries": "发送记录",
    "audit_entries": "审计记录", "log_ins": "过期的登录",
}  # fmt: skip


@ui.page("/retention", response_timeout=20)
async def retention(request: Request) -> None:
    """The page."""
    seat = await enter(request, "留存", Permission.ERASE)
    if seat is not None:
        await RetentionPage(seat).build()


class RetentionPage:
    """Preview, run, one person's data."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat

    async def build(self) -> None:
        """Draw it."""
        config = self.seat.desk.config
        with self.seat.main, box("columns"):
            with section("到期的数据"):
                text(
                    "p",
                    f"工单办结{config.retention_case_days}天、会话{config.retention_conversation_days}天、"
                    f"没有提交的登记{config.retention_draft_days}天、审计{config.retention_audit_days}天后删除。",
                    "soft small",
                )
                self.plan = ui.html("", sanitize=False)
                with Ask("删除到期的数据", "删除", self._run, kind="danger") as self.ask_run:
                    text("p", "删除后不能恢复，删了什么会留下不含个人信息的记录。")
                with box("btns"):
                    button("重新预览", self._preview)
                    button("删除到期的数据", self.ask_run.open, kind="danger")
            with section("一个人的数据"):
                text("p", "本人要求查阅、复制或删除时用。号码只用来查找，不写入记录。", "soft small")
                self.phone = field("电话号码")
                self.reason = field("删除的原因（删除时必填）")
                with Ask("删除这个人的数据", "删除", self._erase, kind="danger") as self.ask_erase:
                    text("p", "已办结的工单和会话里的个人信息将删除，不能恢复；在办的工单保留。")
                with box("btns"):
                    button("导出", self._export)
                    button("删除", self.ask_erase.open, kind="danger", name="删除这个人的数据")
                self.done = ui.html("", sanitize=False)
                self.done._props["role"] = "status"
        await self._preview()

    def _words(self, plan: service.Plan) -> str:
        numbers = plan.as_json()
        return render("plan", rows=[(LABELS[key], numbers[key]) for key in LABELS], kept=plan.kept)

    async def _preview(self) -> None:
        with polite():
            self.plan.set_content(
                self._words(await self.seat.read(lambda s, now: service.preview(s, now=now)))
            )

    async def _check(self) -> None:
        """The services below open transactions of their own: who asks is looked at before."""
        await self.seat.write(Permission.ERASE, lambda s, now, staff: None)

    async def _run(self) -> bool:
        with polite():
            await self._check()
            desk = self.seat.desk
            done = await asyncio.to_thread(service.run, desk.sessions, now=desk.now(), actor=self.seat.actor)
            self.plan.set_content(self._words(done))
            say("已删除。")
            return True
        return False

    async def _export(self) -> None:
        phone = (self.phone.value or "").strip()
        with polite():
            if not phone:
                raise HotlineError(Problem.MALFORMED)
            found: dict[str, Any] = await self.seat.write(
                Permission.ERASE,
                lambda s, now, staff: service.export_person(s, phone, actor=self.seat.actor, now=now),
            )
            data = json.dumps(found, ensure_ascii=False, indent=2, default=str).encode()
            ui.download.content(data, "个人信息.json", "application/json")
            say("已导出，导出已留下记录。")

    async def _erase(self) -> bool:
        phone, reason = (self.phone.value or "").strip(), (self.reason.value or "").strip()
        with polite():
            await self._check()
            if not reason:
                raise HotlineError(Problem.REASON_NEEDED)
            desk = self.seat.desk
            done = await asyncio.to_thread(
                service.erase_person,
                desk.sessions,
                phone,
                reason=reason,
                actor=self.seat.actor,
                now=desk.now(),
            )
            self.done.set_content(self._words(done))
            self.phone.set_value("")
            say("已删除。")
            return True
        return False
