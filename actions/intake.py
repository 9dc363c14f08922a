"""The intake form's two actions: take the citizen's words into the draft, and ask the next question.

The form holds the floor; the draft row holds the data (docs/adr/0005-form-and-draft.md). Both actions read and
write the draft in one transaction; the case is lodged in that same transaction.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Any

from rasa_sdk import Action, Tracker
from rasa_sdk.events import EventType, SlotSet
from rasa_sdk.executor import CollectingDispatcher
from sqlalchemy.orm import Session

from bot.cases import intake, store
from bot.cases.models import CaseDraft, CaseType
from bot.cases.short import short_question
from bot.conversations import attachments, log
from bot.conversations.models import Conversation
from bot.conversations.receipt import receipt_of_message, receipt_payload
from bot.conversations.turns import utc_now
from bot.database import sessions

SAID = "said"  # in a draft's data: the message it was last changed by, and what was answered
FORM, SLOT, REQUESTED = "intake_form", "intake", "requested_slot"
TYPES = {
    "complaint": CaseType.COMPLAINT,
    "report": CaseType.REPORT,
    "request": CaseType.REQUEST,
    "suggestion": CaseType.SUGGESTION,
}
# What the first message of each type is for the citizen; 诉求 counts as a complaint in the contract.
KINDS = {"complaint": "complaint", "request": "complaint", "report": "report", "suggestion": "suggestion"}


def own_words(message: dict[str, Any]) -> str:
    """What the citizen wrote; the message's `text` is the normal form that the models see."""
    return str((message.get("metadata") or {}).get("text") or message.get("text") or "")


def _turn(tracker: Tracker) -> intake.Turn:
    message = tracker.latest_message
    reading = message.get("reading") or {}
    return intake.Turn(
        text=own_words(message),
        act=str(
            reading.get("topic") if reading.get("intent") == "inform" else reading.get("intent") or "inform"
        ),
        field=str((reading.get("extra") or {}).get("field") or ""),
        entities=list(message.get("entities") or []),
    )


# A message that wants its money back and the shop punished holds both (总局令第121号 Art 9: handle each).
_PUNISH = re.compile(r"举报|查处|(去|得|要|来)查(查|他|它|一下)?|查封|罚(他|款|它)|取缔|曝光")
_REDRESS = re.compile(r"赔|退(钱|款|货|我|还)|换(一|个|新)|投诉")


def _kind(turn: intake.Turn) -> tuple[Any, bool]:
    """The type of the case that a message begins, and whether it is 投诉 and 举报 in one."""
    kind = turn.act if turn.act in TYPES else "complaint"
    both = bool(_PUNISH.search(turn.text)) and bool(_REDRESS.search(turn.text))
    if both and kind in ("complaint", "report"):
        return "complaint", True
    return kind, False


def _payload(kind: str, step: intake.Step) -> dict[str, Any]:
    return {"compose": "ready", "kind": kind, "text": "\n".join(step.say)}


class ValidateIntakeForm(Action):
    """Rasa calls this with every message of a running intake, and with the one that began it."""

    def name(self) -> str:
        """Rasa's name of the action."""
        return "validate_intake_form"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any) -> list[EventType]:
        """Advance the draft; the slot stays empty until the case is lodged or dropped.

        Nothing is set for a message that interrupts the intake: the form then rejects itself, and the rule for
        that act answers.
        """
        reading = tracker.latest_message.get("reading") or {}
        if tracker.active_loop.get("name") == FORM and reading.get("intent") != "inform":
            return []
        payload, done = await asyncio.to_thread(_advance, tracker)
        if payload["text"]:
            dispatcher.utter_message(json_message=payload)
        return [SlotSet(SLOT, "done"), SlotSet(REQUESTED, None)] if done else [SlotSet(SLOT, None)]


class AskIntake(Action):
    """Asks what is still missing, or shows the summary; also after an interruption."""

    def name(self) -> str:
        """Rasa's name of the action."""
        return "action_ask_intake"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any) -> list[EventType]:
        """The question of the draft as it stands."""
        if payload := await asyncio.to_thread(_ask, tracker.sender_id):
            dispatcher.utter_message(json_message=payload)
        return []


def _conversation_channel(session: Session, conversation_id: str) -> str:
    conversation = session.get(Conversation, conversation_id)
    return conversation.channel if conversation else "shell"


def _advance(tracker: Tracker) -> tuple[dict[str, Any], bool]:
    now = utc_now()
    turn = _turn(tracker)
    message_id = str((tracker.latest_message.get("metadata") or {}).get("message_id") or "")
    with sessions().begin() as session:
        if message_id and log.is_finished(session, tracker.sender_id, message_id):
            # This turn took too long, or its gateway died: the citizen was answered without it and has gone on.
            return {"text": ""}, False
        if message_id and (receipt := receipt_of_message(session, message_id)):
            # The engine died after this message lodged its case, and the turn was begun again on another one.
            return receipt, True
        row = store.current_draft(session, tracker.sender_id)
        said = (row.data or {}).get(SAID) if row else None
        if said and message_id and said["message_id"] == message_id:
            # The process died between this draft and its reply: the same words must not be taken in twice.
            return said["payload"], False
        if row is None or not row.data:
            kind, also_report = _kind(turn)
            row = row or store.open_draft(session, tracker.sender_id, now=now, type=TYPES[kind])
            step = intake.begin(kind, turn, also_report)
            notice = step.privacy or intake.privacy_notice()
            payload = _payload(KINDS[kind], step) | {"card": {"privacy": notice.full}}
            _save(session, row, step, now, message_id, payload)
            store.save_draft(session, row, now=now, privacy_notice_version=notice.version)
            return payload, False
        draft = intake.Draft.model_validate(row.data)
        if turn.text.strip() in intake.question(draft).choices:
            # A pressed button answers the open question, whatever the classifier makes of its label (不留了).
            turn = turn.model_copy(update={"act": "inform"})
        step = intake.advance(draft, turn)
        if step.outcome == "cancelled":
            store.cancel_draft(session, row, now=now)
            return _payload("intake", step), True
        payload = _payload("intake", step)
        _save(session, row, step, now, message_id, payload)
        if step.outcome != "submit":
            return payload, False
        lodged = store.submit(
            session,
            row,
            parts=[
                store.Part(TYPES[p.type], p.fields, anonymous=p.anonymous) for p in intake.parts(step.draft)
            ],
            message_id=message_id,
            channel=_conversation_channel(session, tracker.sender_id),
            now=now,
        )
        attachments.join_case(session, tracker.sender_id, lodged[0].number)
        return receipt_payload(session, lodged), True


def _save(
    session: Session,
    row: CaseDraft,
    step: intake.Step,
    now: datetime,
    message_id: str,
    payload: dict[str, Any],
) -> None:
    data = step.draft.model_dump() | {SAID: {"message_id": message_id, "payload": payload}}
    store.save_draft(session, row, now=now, data=data, asked=step.draft.asked, type=TYPES[step.draft.type])


def _ask(conversation_id: str) -> dict[str, Any] | None:
    with sessions().begin() as session:
        row = store.current_draft(session, conversation_id)
        if row is None or not row.data:
            return None
        draft = intake.Draft.model_validate(row.data)
        question = intake.question(draft)
        return {
            "compose": "ready",
            "kind": "intake",
            "text": question.text,
            "sms": short_question(draft),
            "choices": list(question.choices),
            "card": {"intake": _card(draft, question.field)},
        }


def _card(draft: intake.Draft, asked: str) -> dict[str, Any]:
    """What a page draws of the intake so far; values are masked as in the summary."""
    return {
        "type": draft.type,
        "step": draft.step,
        "asked": asked,
        "name": intake.type_name(draft.type),
        "known": [
            {
                "field": name,
                "label": intake.label(name, draft.type),
                "value": shown,
                "filled": name in draft.fields or name == "anonymous",
            }
            for name, shown in intake.rows(draft)
        ],
        "missing": [intake.label(name, draft.type) for name in intake.missing(draft)],
    }
