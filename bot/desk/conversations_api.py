"""The desk's calls on conversations: queue, claim, answer, hand on, notes. Staff log-in needed.

Every call that changes something, and every look at unmasked words, is in the audit log.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import audit
from bot.cases.models import Case, CaseDraft
from bot.conversations import call_back, log, ownership
from bot.conversations.models import CallBack, Conversation, Message
from bot.crypto import mask_phone, mask_text
from bot.desk.auth import CurrentStaff, requires
from bot.desk.models import Note
from bot.desk.work import read, write
from bot.errors import HotlineError, Problem
from bot.staff.models import Staff
from bot.staff.permissions import Permission, may

router = APIRouter(prefix="/api/v1", tags=["desk: conversations"])
MAX_CHARACTERS = 2000
Claimer = Annotated[Staff, requires(Permission.CLAIM)]
Answerer = Annotated[Staff, requires(Permission.ANSWER)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReleaseRequest(_Body):
    """Where the conversation goes: back to the bot, or into the queue for a colleague."""

    to: Literal["bot", "queue"] = "bot"


class SayRequest(_Body):
    """A staff member's words; the id makes sending twice harmless."""

    client_message_id: str = Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    text: str = Field(min_length=1, max_length=MAX_CHARACTERS)


class TransferRequest(_Body):
    """User name of the colleague."""

    to: str = Field(min_length=1, max_length=32)


class NoteRequest(_Body):
    """An internal note."""

    body: str = Field(min_length=1, max_length=MAX_CHARACTERS)


class CallBackRequest(_Body):
    """How a call-back went."""

    note: str = Field("", max_length=500)
    given_up: bool = False


def local(at: datetime | None) -> str | None:
    """A time as the API writes it."""
    return at.astimezone(log.SHANGHAI).isoformat(timespec="seconds") if at else None


def summary(conversation: Conversation) -> dict[str, Any]:
    """A conversation as lists show it."""
    return {
        "conversation_id": conversation.id,
        "channel": conversation.channel,
        "owner": conversation.owner,
        "owner_name": conversation.owner_name,
        "claimed_at": local(conversation.claimed_at),
        "updated_at": local(conversation.updated_at),
    }


@router.get("/queue")
async def queue(request: Request, staff: CurrentStaff) -> dict[str, Any]:
    """Who waits (emergencies first), what the caller owns, which call-backs are promised."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        waiting = [
            {
                "conversation_id": w.conversation_id,
                "channel": w.channel,
                "reason": w.reason,
                "urgent": w.urgent,
                "since": local(w.since),
                "level": w.level,
            }
            for w in ownership.waiting(session)
        ]
        open_calls = select(CallBack).where(CallBack.state == "open").order_by(CallBack.due_at).limit(100)
        call_backs = [
            {
                "id": row.id,
                "conversation_id": row.conversation_id,
                "phone": mask_phone(row.phone),
                "due_at": local(row.due_at),
                "overdue": row.due_at < now,
            }
            for row in session.scalars(open_calls)
        ]
        mine = [summary(c) for c in ownership.mine(session, staff)]
        return {"waiting": waiting, "mine": mine, "call_backs": call_backs}

    return await read(request, work)


def _audited(
    session: Session, staff: Staff, action: str, conversation_id: str, now: datetime, **detail: Any
) -> None:
    audit.record(
        session,
        f"staff:{staff.username}",
        f"conversation.{action}",
        f"conversation:{conversation_id}",
        detail or None,
        now=now,
    )


@router.post("/conversations/{conversation_id}/claim")
async def claim(request: Request, conversation_id: str, staff: Claimer) -> dict[str, Any]:
    """Take over; 409 `taken` for everybody but the first. The bot is silent from here on."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        conversation = ownership.claim(session, conversation_id, staff, now=now)
        _audited(session, staff, "claim", conversation_id, now)
        return summary(conversation)

    return await write(request, work)


@router.post("/conversations/{conversation_id}/release")
async def release(
    request: Request, conversation_id: str, staff: Claimer, body: ReleaseRequest | None = None
) -> dict[str, Any]:
    """Give back to the bot, or to the queue; 409 `not_yours` unless the caller owns it."""
    to = body.to if body else "bot"

    def work(session: Session, now: datetime) -> dict[str, Any]:
        conversation = ownership.release(session, conversation_id, staff, now=now, to=to)
        _audited(session, staff, "release", conversation_id, now, to=to)
        return summary(conversation)

    return await write(request, work)


@router.post("/conversations/{conversation_id}/close")
async def close(request: Request, conversation_id: str, staff: Claimer) -> dict[str, Any]:
    """End the service; the citizen is asked for a rating."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        conversation = ownership.close(session, conversation_id, staff, now=now)
        _audited(session, staff, "close", conversation_id, now)
        return summary(conversation)

    return await write(request, work)


@router.post("/conversations/{conversation_id}/transfer")
async def transfer(
    request: Request, conversation_id: str, staff: Claimer, body: TransferRequest
) -> dict[str, Any]:
    """Hand on to a colleague, who owns it at once; 422 `unknown_staff`."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        to = session.scalar(select(Staff).where(Staff.username == body.to))
        if to is None or not may(to, Permission.ANSWER):
            raise HotlineError(Problem.UNKNOWN_STAFF)
        conversation = ownership.transfer(session, conversation_id, staff, to, now=now)
        _audited(session, staff, "transfer", conversation_id, now, to=to.username)
        return summary(conversation)

    return await write(request, work)


@router.post("/conversations/{conversation_id}/staff-messages", status_code=201)
async def say(request: Request, conversation_id: str, staff: Answerer, body: SayRequest) -> dict[str, Any]:
    """Answer the citizen; only the owner may (409 `not_yours`). The same id again gives the same message."""
    text = body.text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8").strip()
    if not text:
        raise HotlineError(Problem.EMPTY)

    def work(session: Session, now: datetime) -> dict[str, Any]:
        message = ownership.say(
            session, conversation_id, staff, text, client_message_id=body.client_message_id, now=now
        )
        return {"message": log.as_json(message)}

    return await write(request, work)


@router.post("/conversations/{conversation_id}/typing", status_code=204)
async def typing(request: Request, conversation_id: str, staff: Answerer) -> Response:
    """Show the citizen that an answer is being written; call it every few seconds while keys are pressed."""
    await write(request, lambda session, now: ownership.typing(session, conversation_id, staff, now=now))
    return Response(status_code=204)


def for_staff(message: Message, *, unmask: bool) -> dict[str, Any]:
    """A message as the desk shows it: with what the bot understood, personal numbers masked unless asked for."""
    shown = log.as_json(message)
    if reading := (message.extra or {}).get("reading"):
        shown["reading"] = reading
    return shown if unmask else masked(shown)


def masked(value: Any) -> Any:
    """A JSON value with the personal numbers in all its strings masked."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    return [masked(item) for item in value] if isinstance(value, list) else value


@router.get("/conversations/{conversation_id}/log")
async def read_log(
    request: Request,
    conversation_id: str,
    staff: Answerer,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    unmask: Annotated[str, Query(max_length=200)] = "",
) -> dict[str, Any]:
    """The transcript with what the bot understood, the open draft, the cases and the notes.

    `unmask` is a reason; with it phone numbers are shown, and the look is audited.
    """
    if unmask and not may(staff, Permission.SEE_PERSONAL_DATA):
        raise HotlineError(Problem.FORBIDDEN)

    def work(session: Session, now: datetime) -> dict[str, Any]:
        conversation = session.get(Conversation, conversation_id)
        if conversation is None:
            raise HotlineError(Problem.UNKNOWN_CONVERSATION)
        if unmask:
            _audited(session, staff, "unmask", conversation_id, now, reason=unmask)
        return view(session, conversation, after, unmask=bool(unmask))

    return await (write if unmask else read)(request, work)


def view(session: Session, conversation: Conversation, after: int = 0, *, unmask: bool) -> dict[str, Any]:
    """Everything the desk shows of a conversation, so that nothing has to be asked twice."""
    draft = session.scalar(
        select(CaseDraft).where(CaseDraft.conversation_id == conversation.id, CaseDraft.state == "open")
    )
    numbers = select(Case.number).where(Case.conversation_id == conversation.id).order_by(Case.created_at)
    notes = (
        select(Note, Staff.name)
        .join(Staff, Staff.id == Note.staff_id)
        .where(Note.conversation_id == conversation.id)
        .order_by(Note.id)
    )
    fields = dict(((draft.data if draft else None) or {}).get("fields", {}))
    if not unmask:
        fields = masked(fields)
    return {
        **summary(conversation),
        "messages": [for_staff(m, unmask=unmask) for m in log.after(session, conversation.id, after)],
        "draft": {"type": draft.type, "fields": fields, "asked": draft.asked} if draft else None,
        "cases": list(session.scalars(numbers)),
        "notes": [
            {"id": note.id, "by": name, "at": local(note.at), "body": note.body}
            for note, name in session.execute(notes)
        ],
    }


@router.post("/conversations/{conversation_id}/notes", status_code=201)
async def add_note(
    request: Request, conversation_id: str, staff: Answerer, body: NoteRequest
) -> dict[str, Any]:
    """Add an internal note; citizens never see it."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        if session.get(Conversation, conversation_id) is None:
            raise HotlineError(Problem.UNKNOWN_CONVERSATION)
        note = Note(
            conversation_id=conversation_id,
            staff_id=staff.id,
            body=mask_text(body.body, phones=False),
            at=now,
        )
        session.add(note)
        session.flush()
        return {"id": note.id, "by": staff.name, "at": local(now), "body": note.body}

    return await write(request, work)


@router.get("/call-backs/{call_back_id}/phone")
async def call_back_phone(request: Request, call_back_id: str, staff: Answerer) -> dict[str, Any]:
    """The number to ring, unmasked; the look is audited."""
    if not may(staff, Permission.SEE_PERSONAL_DATA):
        raise HotlineError(Problem.FORBIDDEN)

    def work(session: Session, now: datetime) -> dict[str, Any]:
        row = session.get(CallBack, call_back_id)
        if row is None:
            raise HotlineError(Problem.NOT_FOUND)
        _audited(session, staff, "call_back_phone", row.conversation_id, now)
        return {"phone": row.phone}

    return await write(request, work)


@router.post("/call-backs/{call_back_id}")
async def finish_call_back(
    request: Request, call_back_id: str, staff: Answerer, body: CallBackRequest
) -> dict[str, Any]:
    """Note that the call-back was made, or given up."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        if session.get(CallBack, call_back_id) is None:
            raise HotlineError(Problem.NOT_FOUND)
        row = call_back.done(
            session, call_back_id, by=staff.id, note=body.note, given_up=body.given_up, now=now
        )
        _audited(session, staff, "call_back", row.conversation_id, now, given_up=body.given_up)
        return {"id": row.id, "state": row.state}

    return await write(request, work)
