"""工作台: who waits, what is mine, which calls are promised, which cases press. Everything moves by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from nicegui import ui

from bot.conversations.ownership import Waiting
from bot.desk.pages import conversation_acts as acts
from bot.desk.pages.elements import Ask, Rows, box, button, field, section, text
from bot.desk.pages.frame import claim_and_open, enter, follow
from bot.desk.pages.live import Call, Held, Line, Picture
from bot.desk.pages.rows import CaseRow
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.words import render, show
from bot.staff.permissions import Permission


@dataclass(frozen=True)
class Arrival:
    """A citizen in the queue with their last words."""

    waiting: Waiting
    last: Line | None


@ui.page("/", response_timeout=20)
async def queue(request: Request) -> None:
    """The start page."""
    seat = await enter(request, "工作台", Permission.ANSWER)
    if seat is None:
        return
    with seat.main:
        tiles = box("tiles-box", label="当前数量")
        with box("columns"):
            with box("stack"):
                with section("等待接入"):
                    waiting = Rows(_list("queue-list"), lambda a: _arrival(seat, a), "现在没有人等待。")
                with section("我的会话"):
                    mine = Rows(_list(), _held, "您现在没有接待中的会话。")
                with section("待回电"):
                    calls = Rows(_list(), lambda c: _call_back(seat, c), "没有约定的回电。")
            with box("stack"):
                with section("紧急和最早的工单"):
                    urgent = Rows(_list(), _case, "没有在办工单。")
                with section("时限最近的工单"):
                    due = Rows(_list(), _case, "没有带时限的在办工单。")
    html: ui.html | None = None

    def draw(picture: Picture) -> None:
        nonlocal html
        own = picture.mine(seat.staff.id)
        content = render(
            "tiles",
            p=picture,
            mine=own,
            urgent_waiting=sum(w.urgent for w in picture.waiting),
            late_calls=sum(c.due_at <= seat.desk.now() for c in picture.calls),
        )
        if html is None:
            with tiles:
                html = ui.html(content, sanitize=False)
        else:
            html.set_content(content)
        waiting.show(
            [(w.hand_over_id, Arrival(w, picture.last.get(w.conversation_id))) for w in picture.waiting]
        )
        mine.show([(h.conversation_id, h) for h in own])
        calls.show([(c.id, c) for c in picture.calls])
        if seat.may(Permission.SEE_CASES):
            urgent.show([(c.number, c) for c in picture.urgent[:12]])
            due.show([(c.number, c) for c in picture.due if c.clock.due_on][:12])

    follow(seat, draw)


def _list(classes: str = "") -> ui.element:
    return box(classes)


def _line(to: str, classes: str = "") -> ui.element:
    """A row that is a link; the arrow keys move between rows."""
    row = ui.element("a").classes(f"line {classes}")
    row._props["href"] = to
    row._props["data-row"] = "1"
    return row


def _arrival(seat: Seat, arrival: Arrival) -> Callable[[Arrival], Any]:
    conversation_id = arrival.waiting.conversation_id

    async def take() -> None:
        with polite():
            await claim_and_open(seat, conversation_id)

    with box("line-with-act") as holder:
        with _line(f"/conversations/{conversation_id}") as row:
            content = show("waiting", w=arrival.waiting, last=arrival.last)
        button("接入", take, kind="primary", key="c", name="接入这个会话（没有选中时接入第一个）")

    def change(other: Arrival) -> None:
        content.set_content(render("waiting", w=other.waiting, last=other.last))
        mark(other)

    def mark(other: Arrival) -> None:
        holder.classes(**({"add": "urgent"} if other.waiting.urgent else {"remove": "urgent"}))
        row._props["data-urgent"] = str(int(other.waiting.urgent))

    mark(arrival)
    return change


def _held(held: Held) -> Callable[[Held], Any]:
    with _line(f"/conversations/{held.conversation_id}"):
        content = show("held", h=held)
    return lambda other: content.set_content(render("held", h=other))


def _case(row: CaseRow) -> Callable[[CaseRow], Any]:
    with _line(f"/cases/{row.number}"):
        content = show("case_line", c=row)
    return lambda other: content.set_content(render("case_line", c=other))


def _call_back(seat: Seat, call: Call) -> Callable[[Call], Any]:
    async def number() -> None:
        with polite():
            phone.set_text(await acts.phone_of(seat, call.id))
            phone.set_visibility(True)

    async def done() -> bool:
        with polite():
            await acts.called(seat, call.id, note.value, given_up=gone.value == "未接通，不再拨打")
            say("已记录。")
            return True
        return False

    with box("line-with-act"):
        with _line(f"/conversations/{call.conversation_id}"):
            content = show("call_back", c=call, now=seat.desk.now())
        phone = text("b", "", "mono phone")
        phone.set_visibility(False)
        if seat.may(Permission.SEE_PERSONAL_DATA):
            button("看号码", number, name=f"看{call.phone}的完整号码，会留下记录")
        with Ask("记录回电结果", "保存", done) as ask:
            gone = ui.radio(["已接通", "未接通，不再拨打"], value="已接通")
            note = field("情况", long=True)
        button("已回电", ask.open, kind="primary")
    return lambda other: content.set_content(render("call_back", c=other, now=seat.desk.now()))
