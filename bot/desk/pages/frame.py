"""The frame of every page: menu, duty, switches in force, calls; and who may open it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from nicegui import ui
from sqlalchemy.orm import Session

from bot.desk import escalation
from bot.desk.pages.conversation_acts import claim
from bot.desk.pages.elements import Rows, box, button, link, shortcut, text
from bot.desk.pages.live import Picture
from bot.desk.pages.seat import Desk, Seat, polite
from bot.desk.pages.words import render, show
from bot.staff.models import Role
from bot.staff.permissions import Permission

MENU = (
    ("工作台", "/", "g q", Permission.ANSWER),
    ("会话", "/conversations", "g c", Permission.ANSWER),
    ("电话登记", "/phone", "g p", Permission.EDIT_CASE),
    ("工单", "/cases", "g w", Permission.SEE_CASES),
    ("值班表", "/roster", "g r", Permission.ANSWER),
    ("复核", "/reviews", "g v", Permission.REVIEW),
    ("统计", "/figures", "g f", Permission.FIGURES),
    ("开关", "/switches", "g s", Permission.SWITCHES),
    ("死信", "/dead-letters", "g d", Permission.DEAD_LETTERS),
    ("审计", "/audit", "g a", Permission.AUDIT),
    ("人员", "/staff", "g u", Permission.STAFF),
    ("留存", "/retention", "g l", Permission.ERASE),
)
TICK = 0.25  # seconds between looks at whether the board has another picture
HEAD = (
    '<link rel="stylesheet" href="/desk-assets/desk.css"><script defer src="/desk-assets/desk.js"></script>'
)


async def enter(request: Request, title: str, permission: Permission, *, here: str = "") -> Seat | None:
    """Build the frame for the staff member of the request and give the seat, or None when the role may not.

    `here` is the menu's path that is marked; by default the request's own.
    """
    desk: Desk = request.state.desk
    client = ui.context.client
    ui.page_title(f"{title} · 吉林12315值班台")
    ui.add_head_html(HEAD)
    ui.colors(primary="#0b5cab", positive="#14603a", negative="#a61b1b", warning="#7a4b00")
    # Quasar draws the whole page as <main>; ours begins after the menu.
    if (whole := client.content.parent_slot) is not None:
        whole.parent.tag = "div"
    with box("desk") as outer:
        outer._props["data-now"] = desk.now().isoformat()
        seat = Seat(desk, request.state.staff, request.state.token, outer)
        link("跳到正文", "#main", classes="skip")
        _menu(seat, here or request.url.path)
        with box("work"):
            _strip(seat)
            seat.main = box("main", "main")
            seat.main._props["id"] = "main"
            seat.main._props["tabindex"] = "-1"
    desk.sat_down(seat.token)
    client.on_delete(lambda: desk.stood_up(seat.token))
    ui.on("desk_hand", lambda: desk.hand(seat.token), throttle=30)
    with seat.main:
        text("h1", title)
        if not seat.may(permission):
            client.status_code = 403
            text("p", "您的岗位没有这项权限。需要时请联系管理员。", "empty")
            return None
    seat.permission = permission
    return seat


def _menu(seat: Seat, here: str) -> None:
    with box("side", "nav", label="主菜单"):
        with box("side-head"):
            show("brand")
            toggle = button("菜单", lambda: menu.classes(toggle="open"), kind="quiet menu-toggle")
            toggle._props["aria-controls"] = "menu"
        with box("side-menu") as menu:
            menu._props["id"] = "menu"
            for label, path, key, permission in MENU:
                if seat.may(permission):
                    entry = link(label, path, key=key, classes="side-link")
                    if here == path or (path != "/" and here.startswith(f"{path}/")):
                        entry._props["aria-current"] = "page"
            with box("side-foot"):
                show("me", name=seat.staff.name, role=Role(seat.staff.role).label)
                link("密码与验证码", "/account", classes="side-link small")
                # A plain form: logging out must work when the page's script does not.
                ui.html(
                    '<form method="post" action="/logout"><button class="side-link small">退出登录</button></form>',
                    sanitize=False,
                )


def _strip(seat: Seat) -> None:
    """The line above the page: duty, counts, switches in force; and calls (呼叫) to this staff member."""
    with box("strip", "header"):
        duty = show("duty", picture=Picture()).classes("duty")
        help_button = button("快捷键", lambda: None, kind="quiet", key="?")
        help_button._props["data-help"] = "1"
        sound = button("提示音", lambda: None, kind="quiet")
        sound._props["data-sound"] = "1"
    notices = box("notices")
    calls = Rows(box("calls", role="alert"), lambda ringing: _call(seat, ringing), "")

    async def draw(picture: Picture) -> None:
        duty.set_content(render("duty", picture=picture))
        notices.clear()
        with notices:
            show("switches_on", on=picture.switches)

        def ringing(session: Session, now: Any) -> list[escalation.Ringing]:
            return escalation.ringing(session, seat.staff)

        found = await seat.read(ringing) if picture.rings_for(seat.staff.id) else []
        calls.show([(f"{one.page_id}", one) for one in found])

    follow(seat, draw)


def _call(seat: Seat, ringing: escalation.Ringing) -> Callable[[escalation.Ringing], Any]:
    async def take() -> None:
        with polite():
            await claim_and_open(seat, ringing.conversation_id)

    async def hush() -> None:
        with polite():
            await seat.write(
                None,
                lambda session, now, staff: escalation.acknowledge(session, ringing.page_id, staff, now=now),
            )

    with box("call urgent" if ringing.urgent else "call"):
        words = show("call", call=ringing)
        button("接入", take, kind="primary", key="i", name="接入呼叫的会话")
        button("知道了", hush, kind="quiet")
    return lambda one: words.set_content(render("call", call=one))


async def claim_and_open(seat: Seat, conversation_id: str) -> None:
    """Claim a conversation and go there; shows who has it when somebody was faster."""
    if await claim(seat, conversation_id):
        ui.navigate.to(f"/conversations/{conversation_id}")


def follow(seat: Seat, draw: Callable[[Picture], Any]) -> None:
    """Call `draw` (a function or coroutine function) with the board's picture now and whenever it is another one."""
    board = seat.desk.board
    assert board is not None
    seen = -1

    async def look() -> None:
        nonlocal seen
        if board.watch() and seen != board.version:
            seen = board.version
            with polite():
                result = draw(board.picture)
                if result is not None:
                    await result

    ui.timer(TICK, look)


__all__ = ["claim_and_open", "enter", "follow", "shortcut"]
