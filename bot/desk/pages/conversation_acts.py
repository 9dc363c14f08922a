"""What an agent does to a conversation, as the pages call it: the services of the API, audited alike."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.conversations import call_back, ownership
from bot.conversations.models import CallBack, Conversation
from bot.crypto import mask_text
from bot.desk.models import Note
from bot.desk.pages.seat import Seat, say
from bot.errors import HotlineError, Problem
from bot.staff.models import Staff
from bot.staff.permissions import Permission, may


def _subject(conversation_id: str) -> str:
    return f"conversation:{conversation_id}"


async def claim(seat: Seat, conversation_id: str) -> bool:
    """Take over; tells who was faster and returns False when somebody was."""

    def work(session: Session, now: datetime, staff: Staff) -> None:
        ownership.claim(session, conversation_id, staff, now=now)
        seat.record(session, "conversation.claim", _subject(conversation_id), now)

    def winner(session: Session, now: datetime) -> str:
        found = session.get(Conversation, conversation_id)
        return (found.owner_name if found else None) or "其他值班员"

    try:
        await seat.write(Permission.CLAIM, work)
    except HotlineError as error:
        if error.problem is not Problem.TAKEN:
            raise
        say(f"这个会话已由{await seat.read(winner)}接入。", "warning")
        return False
    return True


async def release(seat: Seat, conversation_id: str, to: str) -> None:
    """Back to the bot or into the queue."""

    def work(session: Session, now: datetime, staff: Staff) -> None:
        ownership.release(session, conversation_id, staff, now=now, to=to)
        seat.record(session, "conversation.release", _subject(conversation_id), now, to=to)

    await seat.write(Permission.CLAIM, work)


async def close(seat: Seat, conversation_id: str) -> None:
    """End the service; the citizen is asked for a rating."""

    def work(session: Session, now: datetime, staff: Staff) -> None:
        ownership.close(session, conversation_id, staff, now=now)
        seat.record(session, "conversation.close", _subject(conversation_id), now)

    await seat.write(Permission.CLAIM, work)


async def transfer(seat: Seat, conversation_id: str, to_id: str) -> str:
    """Hand on to a colleague; returns the colleague's name."""

    def work(session: Session, now: datetime, staff: Staff) -> str:
        to = session.get(Staff, to_id)
        if to is None or not may(to, Permission.ANSWER):
            raise HotlineError(Problem.UNKNOWN_STAFF)
        ownership.transfer(session, conversation_id, staff, to, now=now)
        seat.record(session, "conversation.transfer", _subject(conversation_id), now, to=to.username)
        return to.name

    return await seat.write(Permission.CLAIM, work)


async def answer(seat: Seat, conversation_id: str, words: str, client_message_id: str) -> None:
    """Say something to the citizen; only the owner may."""
    words = words.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8").strip()
    if not words:
        raise HotlineError(Problem.EMPTY)
    if len(words) > 2000:
        raise HotlineError(Problem.TOO_LONG)

    def work(session: Session, now: datetime, staff: Staff) -> None:
        ownership.say(session, conversation_id, staff, words, client_message_id=client_message_id, now=now)

    await seat.write(Permission.ANSWER, work)


async def typing(seat: Seat, conversation_id: str) -> None:
    """Show the citizen that an answer is being written."""
    await seat.write(
        Permission.ANSWER,
        lambda session, now, staff: ownership.typing(session, conversation_id, staff, now=now),
    )


async def note(seat: Seat, body: str, *, conversation_id: str) -> None:
    """An internal note on a conversation; citizens never see it."""
    body = body.strip()
    if not body:
        raise HotlineError(Problem.EMPTY)

    def work(session: Session, now: datetime, staff: Staff) -> None:
        session.add(
            Note(
                conversation_id=conversation_id,
                staff_id=staff.id,
                body=mask_text(body[:2000], phones=False),
                at=now,
            )
        )

    await seat.write(Permission.ANSWER, work)


async def colleagues(seat: Seat) -> dict[str, str]:
    """Who a conversation can be handed to: id to name."""

    def work(session: Session, now: datetime) -> dict[str, str]:
        query = select(Staff).where(Staff.active.is_(True), Staff.id != seat.staff.id).order_by(Staff.name)
        return {one.id: one.name for one in session.scalars(query) if may(one, Permission.ANSWER)}

    return await seat.read(work)


async def phone_of(seat: Seat, call_back_id: str) -> str:
    """The number to ring; the look is audited."""

    def work(session: Session, now: datetime, staff: Staff) -> str:
        row = session.get(CallBack, call_back_id)
        if row is None:
            raise HotlineError(Problem.NOT_FOUND)
        seat.record(session, "conversation.call_back_phone", _subject(row.conversation_id), now)
        return row.phone

    return await seat.write(Permission.SEE_PERSONAL_DATA, work)


async def called(seat: Seat, call_back_id: str, words: str, *, given_up: bool) -> None:
    """Note how a call-back went."""

    def work(session: Session, now: datetime, staff: Staff) -> None:
        if session.get(CallBack, call_back_id) is None:
            raise HotlineError(Problem.NOT_FOUND)
        row = call_back.done(session, call_back_id, by=staff.id, note=words, given_up=given_up, now=now)
        seat.record(session, "conversation.call_back", _subject(row.conversation_id), now, given_up=given_up)

    await seat.write(Permission.ANSWER, work)
