"""A message's way from the log to its replies (ARCHITECTURE.md, "A message's way", steps 2 to 5).

One turn at a time per conversation in this process; across processes the conditional update in `log.answer`
decides, so that a message is answered once whoever works on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import structlog
from sqlalchemy.orm import Session, sessionmaker

from bot.cases import store as cases
from bot.conversations import emergency, log
from bot.conversations.compose import Composed, compose, hand_over_reply, in_danger, phrases, simple
from bot.conversations.engine import Engine, EngineFailed
from bot.conversations.models import Conversation, Message
from bot.conversations.receipt import receipt_of_message
from bot.storage import StorageError

logger = structlog.get_logger(__name__)

WAIT_FOR_ENGINE = 60.0  # seconds that messages left by an earlier process wait for an engine that starts
SWEEP_SECONDS = 20.0  # Messages whose replies could not be stored are tried again this often.
LEFT_BEHIND = timedelta(seconds=30)  # Older than any turn may take: no other process works on it.


def utc_now() -> datetime:
    """The time; tests put another clock in its place."""
    return datetime.now(timezone.utc)


class Turns:
    """Takes stored messages to their replies."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        readers: sessionmaker[Session],
        engine: Engine,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.sessions = sessions
        self.readers = readers
        self.engine = engine
        self.now = now
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._news: weakref.WeakValueDictionary[str, asyncio.Event] = weakref.WeakValueDictionary()

    # -- news for server-sent events ----------------------------------------------------------------

    def news(self, conversation_id: str) -> asyncio.Event:
        """An event that is set when something was added to the conversation by this process."""
        return self._news.setdefault(conversation_id, asyncio.Event())

    def _announce(self, conversation_id: str) -> None:
        if event := self._news.get(conversation_id):
            event.set()

    # -- the turn -----------------------------------------------------------------------------------

    async def run(self, conversation_id: str) -> None:
        """Answer every stored message of the conversation that waits, in order."""
        lock = self._locks.setdefault(conversation_id, asyncio.Lock())
        async with lock:
            for message in await asyncio.to_thread(self._waiting, conversation_id):
                await self._answer(message)
        self._announce(conversation_id)

    async def resume(self, older_than: timedelta = timedelta(0)) -> int:
        """Answer what was stored and not answered; returns the number of conversations that it was.

        One conversation's trouble does not keep the others waiting.
        """
        left = await asyncio.to_thread(self._to_resume, self.now() - older_than)
        for conversation_id in left:
            try:
                await self.run(conversation_id)
            except Exception as error:
                logger.exception("resume_failed", conversation=conversation_id, error=type(error).__name__)
        return len(left)

    async def attend(self) -> None:
        """Answer what an earlier process left (promise 3), then look from time to time for what is left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_FOR_ENGINE):
                while not await self.engine.alive():
                    await asyncio.sleep(0.5)
        older_than = timedelta(0)
        while True:
            try:
                await self.resume(older_than)
            except StorageError as error:
                logger.error("resume_failed", error=str(error))
            older_than = LEFT_BEHIND
            await asyncio.sleep(SWEEP_SECONDS)

    def _waiting(self, conversation_id: str) -> list[Message]:
        with self.readers() as session:
            return log.unanswered(session, conversation_id)

    def _to_resume(self, before: datetime) -> list[str]:
        with self.readers() as session:
            return log.conversations_to_resume(session, before)

    async def _answer(self, message: Message) -> None:
        facts = await asyncio.to_thread(self._facts, message)
        signal = emergency.check(message.body)
        if signal is not None and signal.certain:
            composed = in_danger(signal.topic, Composed(state=facts["state"]))
        elif facts["owner"] == "person":
            composed = Composed([], facts["state"])
        elif facts["receipt"]:
            # The case was lodged by this very message before the process died: say the same receipt.
            composed = compose([facts["receipt"]], {}, facts["state"], message.body)
        else:
            composed = await self._ask_engine(message, facts, signal)
        await asyncio.to_thread(self._store, message, composed)

    def _facts(self, message: Message) -> dict[str, Any]:
        with self.readers() as session:
            conversation = session.get_one(Conversation, message.conversation_id)
            draft = cases.current_draft(session, conversation.id)
            return {
                "owner": conversation.owner,
                "state": dict(conversation.state or {}),
                "intake": (draft.type or "T") if draft else "",
                "asked": (draft.asked or "") if draft else "",
                "receipt": receipt_of_message(session, message.id),
            }

    async def _ask_engine(
        self, message: Message, facts: dict[str, Any], signal: emergency.Signal | None
    ) -> Composed:
        state = facts["state"]
        context = {
            key: state.get(key)
            for key in ("focus", "before", "facet", "last_kind", "options")
            if state.get(key)
        }
        context["walk"] = bool(state.get("walk"))
        context["danger"] = signal is not None
        context |= {
            "intake": facts["intake"],
            "asked": facts["asked"],
            "picked": (message.extra or {}).get("picked", []),
        }
        try:
            decision = await self.engine.turn(message.conversation_id, message.id, message.body, context)
            composed = compose(decision.payloads, decision.reading, state, message.body)
        except Exception as error:
            # Whatever it was: a message that cannot be answered would hold up all that come after it.
            known = isinstance(error, (EngineFailed, ValueError))
            logger.error(
                "turn_failed",
                conversation=message.conversation_id,
                message=message.id,
                error=f"{type(error).__name__}: {error}",
                exc_info=not known,
            )
            if topic := emergency.decide(signal, None):
                return in_danger(topic, Composed(state=state))
            return Composed([simple("handoff", phrases()["failure"])], state, hand_over="系统故障")
        topic = emergency.decide(signal, (decision.reading.get("acts") or {}).get("emergency", 0.0))
        if topic is None or any(reply.answer["kind"] == "emergency" for reply in composed.replies):
            return composed
        return in_danger(topic, composed)

    def _store(self, message: Message, composed: Composed) -> None:
        now = self.now()
        with self.sessions.begin() as session:
            if composed.hand_over:
                before = log.queue_hand_over(
                    session, message.conversation_id, composed.hand_over, urgent=composed.urgent, now=now
                )
                if not any(r.answer["kind"] in ("emergency", "handoff") for r in composed.replies):
                    composed.replies.append(hand_over_reply(before))
            if not log.answer(session, message.id, composed.replies, composed.state, now, composed.reading):
                session.rollback()
                logger.info("answered_elsewhere", message=message.id)


__all__ = ["StorageError", "Turns", "utc_now"]
