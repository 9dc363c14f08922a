"""人员: accounts, roles, passwords and one-time codes. Own password and codes stand on /account."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request
from nicegui import ui
from sqlalchemy.orm import Session

from bot.desk.pages.elements import Ask, box, button, field, section, select, text
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.words import clock_time, show
from bot.staff import accounts as service
from bot.staff import passwords
from bot.staff.models import Role, Staff
from bot.staff.permissions import Permission

ROLES = {role.value: role.label for role in Role}


@ui.page("/staff", response_timeout=20)
async def accounts(request: Request) -> None:
    """The page."""
    seat = await enter(request, "人员", Permission.STAFF)
    if seat is not None:
        await StaffPage(seat).build()


class StaffPage:
    """All accounts."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat

    async def build(self) -> None:
        """Draw it."""
        with self.seat.main:
            self.secret = box()
            self.secret._props["role"] = "status"
            with section("账号"):
                self.table = box("table-wrap")
            with Ask("新建账号", "新建", self._add) as self.ask:
                self.username = field("用户名")
                self.name = field("姓名")
                self.role = select("岗位", ROLES, "agent")
                text("p", "初始密码自动生成，第一次登录必须修改。", "soft small")
            button("新建账号", self.ask.open, key="n", kind="primary")
        await self._load()

    async def _load(self) -> None:
        def work(session: Session, now: datetime) -> list[Staff]:
            return service.list_staff(session)

        with polite():
            found = await self.seat.read(work)
            self.table.clear()
            with self.table, ui.element("table"):
                with ui.element("thead"), ui.element("tr"):
                    for title in ("用户名", "姓名", "岗位", "状态", "最近使用", "操作"):
                        text("th", title)
                with ui.element("tbody"):
                    for one in found:
                        self._row(one)

    def _row(self, one: Staff) -> None:
        now = self.seat.desk.now()
        state = (
            "停用" if not one.active else "锁定" if one.locked_until and one.locked_until > now else "正常"
        )
        with ui.element("tr"):
            text("td", one.username, "mono")
            text("td", one.name)
            with ui.element("td"):
                role = ui.select(ROLES, value=one.role).props("dense borderless options-dense")
                role._props["aria-label"] = f"{one.name}的岗位"
                role.on_value_change(lambda event: self._role(one.id, event.value))
            text("td", f"{state}{'，有动态码' if one.totp_secret else ''}")
            text("td", clock_time(one.last_seen_at, now) or "还没有")
            with ui.element("td"), box("btns"):
                button("重设密码", lambda: self._password(one.id), name=f"重设{one.name}的密码")
                button(
                    "关动态码" if one.totp_secret else "开动态码",
                    lambda: self._totp(one.id, one.totp_secret is None),
                    name=f"{one.name}的动态码",
                )
                button(
                    "停用" if one.active else "启用",
                    lambda: self._active(one.id, not one.active),
                    kind="danger" if one.active else "",
                    name=f"{'停用' if one.active else '启用'}{one.name}",
                )

    def _show_secret(self, what: str, secret: str) -> None:
        self.secret.clear()
        with self.secret, box("panel"):
            show("secret", what=what, secret=secret)
            button("收起", self.secret.clear, kind="quiet")

    async def _add(self) -> bool:
        password = passwords.generate()
        username, name, role = self.username.value or "", self.name.value or "", self.role.value

        def work(session: Session, now: datetime, staff: Staff) -> None:
            service.add_staff(
                session, username, name, role, password, now=now, by=self.seat.actor, must_change=True
            )

        done = await self._write(work, f"已新建{name}。")
        if done:
            self._show_secret(f"{name}的初始密码", password)
            self.username.set_value("")
            self.name.set_value("")
        return done

    async def _password(self, staff_id: str) -> None:
        password = passwords.generate()

        def work(session: Session, now: datetime, staff: Staff) -> None:
            found = service.staff_by_id(session, staff_id)
            service.change_password(session, found, password, now=now, by=self.seat.actor, must_change=True)

        if await self._write(work, "密码已重设，原来的登录已退出。"):
            self._show_secret("新密码", password)

    async def _totp(self, staff_id: str, on: bool) -> None:
        secrets: list[str] = []

        def work(session: Session, now: datetime, staff: Staff) -> None:
            found = service.staff_by_id(session, staff_id)
            secret = service.new_totp(found)[0] if on else None
            service.set_totp(session, found, secret, now=now, by=self.seat.actor)
            secrets.append(secret or "")

        if await self._write(work, "动态码已更改。") and on:
            self._show_secret("动态验证码密钥", secrets[0])

    async def _role(self, staff_id: str, role: str) -> None:
        await self._write(
            lambda s, now, staff: service.set_role(
                s, service.staff_by_id(s, staff_id), role, now=now, by=self.seat.actor
            ),
            "岗位已更改，马上生效。",
        )

    async def _active(self, staff_id: str, active: bool) -> None:
        await self._write(
            lambda s, now, staff: service.set_active(
                s, service.staff_by_id(s, staff_id), active, now=now, by=self.seat.actor
            ),
            "已启用。" if active else "已停用，正在用的登录已退出。",
        )

    async def _write(self, work: Any, done: str) -> bool:
        good = False
        with polite():
            await self.seat.write(Permission.STAFF, work)
            say(done)
            good = True
        await self._load()
        return good
