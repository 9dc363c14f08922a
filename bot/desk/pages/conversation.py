"""会话: one conversation, live. The agent sees everything that was said, understood and written down."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from nicegui import ui

from bot.conversations import ownership
from bot.desk.pages import conversation_acts as acts
from bot.desk.pages.copilot_panel import EARLIER, CopilotPanel
from bot.desk.pages.elements import Ask, box, button, field, focus, section, select, shortcut, text
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.talk_view import Talk, read_talk
from bot.desk.pages.understood import understood
from bot.desk.pages.words import canned, render, show
from bot.errors import HotlineError, Problem
from bot.staff.permissions import Permission

LOOK = 0.2  # seconds between looks at the news
POLL = 4.0  # without news: drafts and hand-overs make none
OPEN_MARK = "〔"
# Enter sends, Shift+Enter breaks the line; the Enter that ends an input method's word does neither.
SEND_KEY = "(e) => { if (!e.isComposing && e.keyCode !== 229) { e.preventDefault(); emit(); } }"


@ui.page("/conversations/{conversation_id}", response_timeout=20)
async def conversation(request: Request, conversation_id: str) -> None:
    """One conversation."""
    seat = await enter(request, "会话", Permission.ANSWER)
    if seat is None:
        return
    try:
        talk = await seat.read(lambda s, now: read_talk(s, conversation_id, 0, now, unmask=False))
    except HotlineError as error:
        ui.context.client.status_code = error.problem.status
        with seat.main:
            text("p", error.problem.message, "empty")
        return
    TalkPage(seat, conversation_id).build(talk)


class TalkPage:
    """The page's parts and what it has shown so far."""

    def __init__(self, seat: Seat, conversation_id: str) -> None:
        self.seat, self.id = seat, conversation_id
        self.last_seq = 0
        self.unmasked = False
        self.typed_at = 0.0
        self.sending = False
        self.shown: dict[str, Any] = {}
        self.news = seat.desk.news.of(conversation_id)
        self.looked = 0.0

    def build(self, talk: Talk) -> None:
        """Draw it and keep it fresh."""
        with self.seat.main, box("talk"):
            with box("panel talk-main", "section", label="对话"):
                with box("composer no-print").style("border:0;border-bottom:1px solid var(--line)"):
                    self.head = show("owner", v=talk.view, mine=False, waiting=None, unmasked=False)
                    self.acts = box("btns tight").style("margin-top:.4rem")
                self.transcript = box("transcript", role="log", label="对话记录")
                self.transcript._props["data-follow"] = "1"
                self.transcript._props["tabindex"] = "0"
                with box("composer no-print") as self.composer:
                    self._composer()
            with box("side-col"):
                self.copilot = CopilotPanel(self.seat, self.id, insert=self._insert)
                with section("登记草稿"):
                    self.draft = show("draft", draft=None)
                with section("工单"):
                    self.cases = show("case_list", cases=[])
                with section("附件") as self.files_box:
                    self.files = show("files", files=[])
                with section("内部备注"):
                    self.notes = show("notes", notes=[])
                    self.note = field("写一条备注，市民看不到", long=True)
                    shortcut(self.note, "n", "写备注")
                    button("保存备注", self._save_note)
        self._dialogs()
        self._show(talk)
        ui.timer(LOOK, self._look)

    def _composer(self) -> None:
        self.answer = field("答复市民（回车发送，Shift+回车换行）", long=True)
        shortcut(self.answer, "r", "写答复")
        self.answer.on("keydown.enter.exact", self._send, [], js_handler=SEND_KEY)
        self.answer.on("update:model-value", self._typing, [], throttle=3.0)
        with box("btns"):
            self.canned = select("常用语", self._sentences())
            self.canned.props("clearable use-input input-debounce=0").style("width:16rem;margin:0")
            self.canned.on_value_change(self._canned)
            shortcut(self.canned, "s", "选常用语")
            box("grow")
            button("发送", self._send, kind="primary")

    @staticmethod
    def _sentences() -> dict[str, str]:
        return {
            one["key"]: f"{group['name']}｜{one['text']}" for group in canned() for one in group["sentences"]
        }

    def _canned(self, event: Any) -> None:
        if event.value:
            found = {one["key"]: one["text"] for group in canned() for one in group["sentences"]}
            self._insert(found[event.value])
            self.canned.set_value(None)

    def _insert(self, words: str, edit: bool = False) -> None:
        before = (self.answer.value or "").rstrip()
        whole = f"{before}\n{words}" if before else words
        self.answer.set_value(whole)
        focus(self.answer, (len(whole) - len(words), len(whole)) if edit else None)

    def _dialogs(self) -> None:
        with Ask("显示完整号码", "显示", self._unmask) as self.ask_unmask:
            text("p", "会话里的电话号码将完整显示。谁在什么时候、因为什么看过，会留下记录。")
            self.unmask_reason = field("原因（必填）")
        with Ask("转给同事", "转给", self._transfer) as self.ask_transfer:
            self.colleague = select("同事", {})
        with Ask("结束服务", "结束", self._close, kind="danger") as self.ask_close:
            text("p", "市民会收到结束语，并请他打分；之后来话由机器人接待。")

    # -- showing --------------------------------------------------------------------------------

    async def _look(self) -> None:
        time = asyncio.get_running_loop().time()
        if not self.news.is_set() and time - self.looked < POLL:
            return
        self.news.clear()
        await self._refresh()

    async def _refresh(self) -> None:
        self.looked = asyncio.get_running_loop().time()
        with polite():
            after, unmasked = self.last_seq, self.unmasked
            talk = await self.seat.read(lambda s, now: read_talk(s, self.id, after, now, unmask=unmasked))
            # While this was read another look may have shown the same messages.
            if after == self.last_seq and unmasked == self.unmasked:
                self._show(talk)

    def _show(self, talk: Talk) -> None:
        with self.transcript:
            for message in talk.messages:
                show(
                    "message",
                    m=_whole(message),
                    reading=understood(message.get("reading")),
                    now=self.seat.desk.now(),
                )
        if talk.messages:
            self.last_seq = talk.messages[-1]["seq"]
        mine = talk.owner_id == self.seat.staff.id
        state = (talk.view["owner"], talk.view["owner_name"], talk.waiting, self.unmasked)
        self._part("head", state, lambda: self._head(talk, mine))
        self._part("draft", talk.draft, lambda: self.draft.set_content(render("draft", draft=talk.draft)))
        self._part("cases", talk.cases, lambda: self.cases.set_content(render("case_list", cases=talk.cases)))
        self._part(
            "notes",
            talk.view["notes"],
            lambda: self.notes.set_content(
                render("notes", notes=talk.view["notes"], now=self.seat.desk.now())
            ),
        )
        self._part("files", talk.files, lambda: self.files.set_content(render("files", files=talk.files)))
        self.files_box.set_visibility(bool(talk.files))
        for words in talk.said[-EARLIER:]:
            self.copilot.heard(words)

    def _head(self, talk: Talk, mine: bool) -> None:
        self.head.set_content(
            render("owner", v=talk.view, mine=mine, waiting=talk.waiting, unmasked=self.unmasked)
        )
        self._buttons(talk, mine)

    def _part(self, name: str, state: Any, draw: Any) -> None:
        if name not in self.shown or self.shown[name] != state:
            self.shown[name] = state
            draw()

    def _buttons(self, talk: Talk, mine: bool) -> None:
        self.composer.set_visibility(mine)
        self.acts.clear()
        with self.acts:
            if mine:
                button("交回机器人", lambda: self._release("bot"), key="b")
                button("退回队列", lambda: self._release("queue"), key="u")
                button("转给同事", self._ask_transfer, key="t")
                button("结束服务", self.ask_close.open, key="e", kind="danger")
            elif talk.view["owner"] == "bot":
                button("接入", self._claim, key="c", kind="primary")
            if self.seat.may(Permission.SEE_PERSONAL_DATA):
                button("遮盖号码", self._mask, key="m") if self.unmasked else button(
                    "看完整号码", self.ask_unmask.open, key="m"
                )

    # -- acting ---------------------------------------------------------------------------------

    async def _claim(self) -> None:
        with polite():
            if await acts.claim(self.seat, self.id):
                say("已接入，机器人不再说话。")
            await self._refresh()
            focus(self.answer)

    async def _release(self, to: str) -> None:
        with polite():
            await acts.release(self.seat, self.id, to)
            say("已交回机器人。" if to == "bot" else "已退回队列。")
        await self._refresh()

    async def _ask_transfer(self) -> None:
        self.colleague.set_options(await acts.colleagues(self.seat))
        self.ask_transfer.open()

    async def _transfer(self) -> bool:
        with polite():
            name = await acts.transfer(self.seat, self.id, self.colleague.value or "")
            say(f"已转给{name}。")
            await self._refresh()
            return True
        return False

    async def _close(self) -> bool:
        with polite():
            await acts.close(self.seat, self.id)
            say("服务已结束。")
            await self._refresh()
            return True
        return False

    async def _send(self) -> None:
        words = (self.answer.value or "").strip()
        if not words or self.sending:
            return
        if OPEN_MARK in words:
            say("还有〔〕没有填写，请补上再发送。", "warning")
            return
        self.sending = True
        try:
            with polite():
                await acts.answer(self.seat, self.id, words, ownership.new_id())
                self.answer.set_value("")
                await self.copilot.sent(words)
                await self._refresh()
        finally:
            self.sending = False

    async def _typing(self) -> None:
        with polite():
            await acts.typing(self.seat, self.id)

    async def _save_note(self) -> None:
        with polite():
            await acts.note(self.seat, self.note.value or "", conversation_id=self.id)
            self.note.set_value("")
            say("备注已保存。")
        await self._refresh()

    async def _unmask(self) -> bool:
        reason = (self.unmask_reason.value or "").strip()
        with polite():
            if not reason:
                raise HotlineError(Problem.REASON_NEEDED)
            await self.seat.write(
                Permission.SEE_PERSONAL_DATA,
                lambda s, now, staff: self.seat.record(
                    s, "conversation.unmask", f"conversation:{self.id}", now, reason=reason[:200]
                ),
            )
            await self._redraw(True)
            return True
        return False

    async def _mask(self) -> None:
        await self._redraw(False)

    async def _redraw(self, unmasked: bool) -> None:
        self.unmasked, self.last_seq, self.shown = unmasked, 0, {}
        self.transcript.clear()
        await self._refresh()


def _whole(message: dict[str, Any]) -> dict[str, Any]:
    """A message with every key that the template looks at."""
    return {"name": "", "answer": None, "attachments": [], "choices": []} | message
