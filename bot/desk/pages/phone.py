"""电话登记: an agent on the phone types what the caller says; the copilot fills the form, the agent completes and files.

The case is made by the same store functions as the bot's; the caller's words are kept as a conversation of the channel
`phone`, so that what was written down can be held against what was said.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from fastapi import Request
from nicegui import ui
from sqlalchemy.orm import Session

from bot.cases import store
from bot.cases.fields import check_phone, fields_of, label, optional, told_of, wording
from bot.cases.models import CaseType
from bot.cases.record import privacy_notice
from bot.conversations import attachments, log
from bot.conversations.models import Conversation
from bot.desk.copilot_case import TYPES
from bot.desk.pages.copilot_panel import CopilotPanel
from bot.desk.pages.elements import box, button, field, link, section, select, text
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.words import show
from bot.errors import HotlineError, Problem
from bot.staff.models import Staff
from bot.staff.permissions import Permission

RECORDS = {"complaint": "投诉", "report": "举报", "request": "企业诉求", "suggestion": "意见建议"}
RECORD_OF = {kind.value: name for name, kind in TYPES.items()}
LONG = ("facts", "request", "evidence")
NAMELESS = ("report", "suggestion")
CONTACT = ("name", "phone", "address", "company")


@ui.page("/phone", response_timeout=20)
async def phone(request: Request, conversation: str = "") -> None:
    """A new record, or (`?conversation=…`) one from what was said there."""
    seat = await enter(
        request, "电话登记" if not conversation else "登记工单", Permission.EDIT_CASE, here="/phone"
    )
    if seat is None:
        return
    form = CaseForm(seat, conversation)
    try:
        words, draft = await form.known()
    except HotlineError as error:
        ui.context.client.status_code = error.problem.status
        with seat.main:
            text("p", error.message, "empty")
        return
    form.build(words, draft)


class CaseForm:
    """The record as the agent fills it."""

    def __init__(self, seat: Seat, conversation_id: str) -> None:
        self.seat, self.conversation_id = seat, conversation_id
        self.inputs: dict[str, Any] = {}
        self.suggested: dict[str, str] = {}
        self.filing = False

    async def known(self) -> tuple[str, dict[str, Any]]:
        """The citizen's last words and the bot's open draft, when a conversation is named."""
        if not self.conversation_id:
            return "", {}

        def work(session: Session, now: datetime, staff: Staff) -> tuple[str, dict[str, Any]]:
            if session.get(Conversation, self.conversation_id) is None:
                raise HotlineError(Problem.UNKNOWN_CONVERSATION)
            said = [m.body for m in log.after(session, self.conversation_id, 0) if m.author == "user"]
            draft = store.current_draft(session, self.conversation_id)
            known = dict((draft.data or {}).get("fields", {})) if draft else {}
            # Words and draft come with their numbers in full: whoever fills a form from them has looked at them.
            subject = f"conversation:{self.conversation_id}"
            self.seat.record(session, "conversation.unmask", subject, now, reason="登记工单")
            return "\n".join(said[-6:])[-1500:], {"type": draft.type, "fields": known} if draft else {}

        return await self.seat.write(Permission.SEE_PERSONAL_DATA, work)

    def build(self, words: str, draft: dict[str, Any]) -> None:
        """Draw it."""
        kind = RECORD_OF.get(draft.get("type") or "", "complaint")
        with self.seat.main, box("columns"):
            with box("stack"):
                self.copilot = CopilotPanel(
                    self.seat,
                    self.conversation_id or None,
                    insert=self._say,
                    filled=self._fill,
                    label="来电人说的话（边听边打，或者粘贴）",
                )
            with section("登记表") as self.panel:
                text("p", f"先告知：{privacy_notice().short}", "small soft")
                with box("btns"):
                    self.kind = (
                        ui.radio(RECORDS, value=kind)
                        .props("inline")
                        .on_value_change(lambda: self._draw_fields())
                    )
                with box("btns"):
                    self.told = ui.checkbox("已口头告知个人信息怎么用")
                    self.anonymous = ui.checkbox("匿名").on_value_change(lambda: self._draw_fields())
                    self.confidential = ui.checkbox("要求保密")
                    self.urgent = ui.checkbox("紧急")
                self.fields = box()
                with box("btns"):
                    button("登记", self._file, key="F10", kind="primary", name="登记这件工单")
                    button("清空", self._clear, kind="quiet")
                self.done = box()
                self.done._props["role"] = "status"
        self._draw_fields({name: str(value) for name, value in draft.get("fields", {}).items()})
        if words:
            self.copilot.heard(words)

    def _draw_fields(self, known: dict[str, str] | None = None) -> None:
        kind = self.kind.value
        if kind not in NAMELESS and self.anonymous.value:
            self.anonymous.value = False
        self.anonymous.set_visibility(kind in NAMELESS)
        kept = (known or {}) | {name: entry.value for name, entry in self.inputs.items() if entry.value}
        self.fields.clear()
        self.inputs = {}
        with self.fields:
            for name in (*fields_of(kind), *told_of(kind)):
                if name == "anonymous" or (self.anonymous.value and name in CONTACT):
                    continue
                mark = "" if optional(kind, name) else " *"
                self.inputs[name] = self._entry(kind, name, f"{label(name, kind)}{mark}", kept.get(name, ""))

    @staticmethod
    def _entry(kind: str, name: str, shown: str, value: str) -> Any:
        if name == "injury":
            return select(shown, ["", *wording()["fields"]["injury"]["choices"]["any"]], value or "")
        return field(shown, value, long=name in LONG)

    def _say(self, words: str, edit: bool = False) -> None:
        say(f"请说：{words}")

    def _fill(self, case: dict[str, Any], words: str) -> None:
        """Take over what the copilot found; what the agent has typed already stays."""
        self.kind.value = case["record"]
        if case["anonymous"]:
            self.anonymous.value = True
        self._draw_fields()
        for found in case["fields"]:
            entry = self.inputs.get(found["field"])
            if entry is None or entry.value:
                continue
            # Numbers come masked from the copilot; the words that the agent typed hold them in full.
            span = found["span"]
            value = words[span[0] : span[1]] if span and "*" in found["value"] else found["value"]
            if found["field"] == "phone":
                value = check_phone(words[span[0] : span[1]] if span else words).value
            if found["field"] == "facts" and "*" in value:
                value = words
            entry.value = value
            self.suggested[found["field"]] = value
        say("已填入，请核对。")

    def _clear(self) -> None:
        for entry in self.inputs.values():
            entry.value = ""
        for mark in (self.told, self.anonymous, self.confidential, self.urgent):
            mark.value = False
        self.suggested = {}

    def _values(self) -> dict[str, str]:
        return {
            name: str(entry.value).strip()
            for name, entry in self.inputs.items()
            if str(entry.value or "").strip()
        }

    def _check(self, values: dict[str, str]) -> None:
        kind = self.kind.value
        missing = [
            label(name, kind) for name in self.inputs if name not in values and not optional(kind, name)
        ]
        if missing:
            raise HotlineError(Problem.MALFORMED, message=f"还缺：{'、'.join(missing)}。")
        if values.get("phone"):
            checked = check_phone(values["phone"])
            if not checked.value:
                raise HotlineError(Problem.MALFORMED, message=checked.problem or "电话号码不对，请核对。")
            values["phone"] = checked.value
        if not self.told.value:
            raise HotlineError(Problem.MALFORMED, message="请先口头告知个人信息怎么用，再勾选。")

    async def _file(self) -> None:
        if self.filing:
            return
        self.filing = True
        try:
            with polite():
                values = self._values()
                self._check(values)
                number, code = await self._store(values)
                await self._outcome(values)
                self._show_receipt(number, code)
        finally:
            self.filing = False

    async def _store(self, values: dict[str, str]) -> tuple[str, str | None]:
        kind, words = TYPES[self.kind.value], (self.copilot.words.value or "").strip()
        nameless = bool(self.anonymous.value) or (kind is CaseType.SUGGESTION and "phone" not in values)
        part = store.Part(
            type=kind,
            fields=values,
            anonymous=nameless,
            confidential=bool(self.confidential.value),
            urgent=bool(self.urgent.value),
        )
        here = self.conversation_id

        def work(session: Session, now: datetime, staff: Staff) -> tuple[str, str | None]:
            conversation_id, message_id, channel = here, f"staff:{uuid.uuid4()}", "phone"
            if conversation_id:
                channel = session.get_one(Conversation, conversation_id).channel
            else:
                conversation_id, message_id = _call(session, "" if nameless else words, staff, now)
            draft = store.open_draft(session, conversation_id, now=now, type=kind)
            draft = store.save_draft(
                session, draft, now=now, type=kind, privacy_notice_version=privacy_notice().version
            )
            case = store.submit(
                session,
                draft,
                parts=[part],
                message_id=message_id,
                channel=channel,
                now=now,
                actor=self.seat.actor,
            )[0]
            attachments.join_case(session, conversation_id, case.number)
            self.seat.record(session, "case.file", f"case:{case.number}", now, channel=channel)
            return case.number, case.query_code

        return await self.seat.write(Permission.EDIT_CASE, work)

    async def _outcome(self, values: dict[str, str]) -> None:
        """The copilot's form: accepted when all of its values were filed as they stood."""
        if self.suggested:
            same = all(values.get(name) == value for name, value in self.suggested.items())
            await self.copilot.record(
                "case", "accepted" if same else "edited", {"fields": sorted(self.suggested)}
            )

    def _show_receipt(self, number: str, code: str | None) -> None:
        self.done.clear()
        with self.done:
            show("filed", number=number, code=code)
            with box("btns"):
                link("打开工单", f"/cases/{number}", classes="btn")
                if self.conversation_id:
                    link("回到会话", f"/conversations/{self.conversation_id}", classes="btn primary")
        self._clear()
        say(f"已登记 {number}。")


def _call(session: Session, words: str, staff: Staff, now: datetime) -> tuple[str, str]:
    """A conversation for a phone call, with the caller's words as the agent wrote them; (its id, the message's id).

    It is answered and closed as it is stored: no turn of the bot follows.
    """
    conversation, _ = log.open_conversation(session, "phone", now)
    conversation.claimed_at = conversation.closed_at = now
    heard = log.InboundMessage(conversation.id, "phone", f"phone:{uuid.uuid4()}", words or "（来电，见工单）")
    message, _ = log.accept(session, heard, now)
    message.answered_at = now
    session.flush()
    return conversation.id, message.id
