"""A message's way from the log to its replies (ARCHITECTURE.md, "A message's way", steps 2 to 5).

One turn at a time per conversation in this process; across processes the conditional update in `log.answer`
decides, so that a message is answered once whoever works on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import structlog
from sqlalchemy.orm import Session, sessionmaker

from bot import request_ids
from bot.conversations import call_back, emergency, log, notices, ownership
from bot.conversations.compose import Composed, compose, hand_over_reply, in_danger, simple
from bot.conversations.engine import Engine, EngineFailed
from bot.conversations.facts import Arrived, Facts, look
from bot.conversations.metrics import ENGINE_FAILURES, LOCK_WAIT_SECONDS
from bot.conversations.models import Message
from bot.conversations.news import News
from bot.conversations.receipt import receipt_of_message
from bot.conversations.switches import Switchboard, Switches
from bot.conversations.wording import phrases
from bot.staff.presence import present
from bot.storage import StorageError

logger = structlog.get_logger(__name__)

WAIT_FOR_ENGINE = 60.0  # seconds that messages left by an earlier process wait for an engine that starts
SWEEP_SECONDS = 20.0  # Messages whose replies could not be stored are tried again this often.
# What may still be said when a person has taken over while the bot was thinking.
NEVER_DROPPED = ("emergency", "receipt")
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
        self.news = News(readers)
        self.switchboard = Switchboard(readers)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._thinking: set[str] = set()

    def thinking(self, conversation_id: str) -> bool:
        """Whether a turn of the conversation runs in this process, for the typing mark."""
        return conversation_id in self._thinking

    # -- the turn -----------------------------------------------------------------------------------

    async def run(self, conversation_id: str, arrived: Arrived | None = None) -> dict[str, list[Message]]:
        """Answer every stored message of the conversation that waits, in order.

        `arrived` is the one that was just stored, and spares the look for what waits if it was alone.

        Returns the replies that this call stored, by the id of the message they answer; a message that another call
        or process has answered is not among them (`log.replies_to`).
        """
        stored: dict[str, list[Message]] = {}
        lock = self._locks.setdefault(conversation_id, asyncio.Lock())
        # A turn that runs may change all that was known when the message arrived.
        fresh = arrived if arrived and arrived.facts.alone and not lock.locked() else None
        asked = time.perf_counter()
        async with lock:
            LOCK_WAIT_SECONDS.observe(time.perf_counter() - asked)
            self._thinking.add(conversation_id)
            self.news.ring(conversation_id)
            try:
                waiting = (
                    [fresh.message] if fresh else await asyncio.to_thread(self._waiting, conversation_id)
                )
                for message in waiting:
                    # What the messages before it have changed is looked up again.
                    facts = fresh.facts if fresh else await asyncio.to_thread(self._facts, message)
                    brought_by = (message.extra or {}).get("request_id")
                    with request_ids.within(brought_by, conversation=conversation_id, message=message.id):
                        replies = await self._answer(message, facts)
                    if replies is not None:
                        stored[message.id] = replies
            finally:
                self._thinking.discard(conversation_id)
        self.news.ring(conversation_id)
        return stored

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
                for conversation_id in await asyncio.to_thread(self._offer_call_backs):
                    self.news.ring(conversation_id)
            except StorageError as error:
                logger.error("resume_failed", error=str(error))
            except Exception as error:
                # A mistake in one look must not end all looking: nobody else answers what is left.
                logger.exception("resume_failed", error=type(error).__name__)
            older_than = LEFT_BEHIND
            await asyncio.sleep(SWEEP_SECONDS)

    def _waiting(self, conversation_id: str) -> list[Message]:
        with self.readers() as session:
            return log.unanswered(session, conversation_id)

    def _to_resume(self, before: datetime) -> list[str]:
        with self.readers() as session:
            return log.conversations_to_resume(session, before)

    def _offer_call_backs(self) -> list[str]:
        with self.sessions.begin() as session:
            return call_back.offer_late(session, self.now())

    async def _answer(self, message: Message, facts: Facts) -> list[Message] | None:
        begun = time.perf_counter()
        switches = await self.switchboard.read()
        state = facts.state
        signal = emergency.check(message.body)
        if signal is not None and signal.certain:
            composed = in_danger(signal.topic, Composed(state=state))
        elif facts.owner == "person":
            composed = Composed([], state)
        elif facts.receipt:
            # The case was lodged by this very message before the process died: say the same receipt.
            composed = compose([facts.receipt], {}, state, message.body)
        elif heard := call_back.hear(message.body, state.get("call_back", ""), facts.phone):
            composed = Composed(state=state | {"call_back": heard.step}, call_back=heard.phone)
            if heard.text:
                composed.replies = [simple("handoff", heard.text, *heard.choices)]
        elif switches.bot_off:
            composed = Composed(
                [simple("handoff", phrases()["handoff"]["bot_off"])], state, hand_over="机器人停用"
            )
        elif switches.people_first and not state.get("met"):
            words = phrases()["handoff"]["people_first"]
            composed = Composed([simple("handoff", words)], state, hand_over="人工优先")
        else:
            composed = await self._ask_engine(message, facts, switches, signal)
            composed.state.pop("call_back", None)
        composed.state = composed.state | {"met": True}
        self._mention(composed, message, switches)
        replies = await asyncio.to_thread(self._store, message, composed)
        logger.info(
            "turn",
            kinds=[reply.answer.get("kind") for reply in composed.replies],
            hand_over=bool(composed.hand_over),
            ms=round((time.perf_counter() - begun) * 1000),
        )
        return replies

    def _mention(self, composed: Composed, message: Message, switches: Switches) -> None:
        """What stands before the answer: staff's emergency notice, once; a warning about numbers that were masked."""
        if not composed.replies:
            return
        if switches.notice and composed.state.get("notice_seen") != switches.notice_id:
            composed.state = composed.state | {"notice_seen": switches.notice_id}
            composed.replies.insert(0, simple("chitchat", switches.notice))
        if (message.extra or {}).get("masked"):
            composed.replies.insert(0, simple("handoff", phrases()["masked"]))
            composed.hand_over = composed.hand_over or "发来证件号或银行卡号"

    def _facts(self, message: Message) -> Facts:
        with self.readers() as session:
            return look(session, message)

    async def _ask_engine(
        self, message: Message, facts: Facts, switches: Switches, signal: emergency.Signal | None
    ) -> Composed:
        state = facts.state
        context = {
            key: state.get(key)
            for key in ("focus", "before", "facet", "last_kind", "options")
            if state.get(key)
        }
        context["walk"] = bool(state.get("walk"))
        context["danger"] = signal is not None
        context |= {
            "intake": facts.intake,
            "asked": facts.asked,
            "picked": (message.extra or {}).get("picked", []),
        }
        try:
            decision = await self.engine.turn(message.conversation_id, message.id, message.body, context)
            composed = compose(decision.payloads, decision.reading, state, message.body, switches=switches)
        except Exception as error:
            # Whatever it was: a message that cannot be answered would hold up all that come after it.
            known = isinstance(error, (EngineFailed, ValueError))
            reason = str(error).partition(":")[0] if isinstance(error, EngineFailed) else type(error).__name__
            ENGINE_FAILURES.labels(reason).inc()
            logger.error(
                "turn_failed",
                error=f"{type(error).__name__}: {error}",
                exc_info=not known,
            )
            if topic := emergency.decide(signal, None):
                return in_danger(topic, Composed(state=state))
            if receipt := await asyncio.to_thread(self._receipt, message):
                # The engine died behind the action that lodged the case: its number must reach the citizen.
                return compose([receipt], {}, state, message.body)
            return Composed([simple("handoff", phrases()["failure"])], state, hand_over="系统故障")
        topic = emergency.decide(signal, (decision.reading.get("acts") or {}).get("emergency", 0.0))
        if topic is None or any(reply.answer["kind"] == "emergency" for reply in composed.replies):
            return composed
        return in_danger(topic, composed)

    def _receipt(self, message: Message) -> dict[str, Any] | None:
        with self.readers() as session:
            return receipt_of_message(session, message.id)

    def _store(self, message: Message, composed: Composed) -> list[Message] | None:
        """Store what was composed; gives the stored replies, or None if another process was faster."""
        now = self.now()
        with self.sessions.begin() as session:
            conversation = log.hold(session, message.conversation_id)
            if not composed.reading and (receipt := receipt_of_message(session, message.id)):
                # The engine's answer did not come, but what it had begun has lodged the case by now.
                told = compose([receipt], {}, composed.state, message.body)
                danger = [r for r in composed.replies if r.answer.get("kind") == "emergency"]
                composed.replies, composed.state = [*danger, *told.replies], told.state
                composed.hand_over = composed.hand_over if composed.urgent else ""
            if conversation.owner == "person":
                # A person took over while the bot was thinking: the bot is silent from that moment (promise 5).
                composed.replies = [r for r in composed.replies if r.answer.get("kind") in NEVER_DROPPED]
                composed.call_back = ""
                if not composed.urgent:
                    composed.hand_over = ""
            if composed.call_back:
                row = call_back.register(session, conversation.id, composed.call_back, now)
                composed.replies.append(simple("handoff", call_back.promise(row, now)))
            if composed.hand_over:
                self._hand_over(session, message, composed, now)
            replies = log.answer(
                session, conversation, message, composed.replies, composed.state, now, composed.reading
            )
            if replies is None:
                session.rollback()
                logger.info("answered_elsewhere")
                return None
            if any(reply.answer.get("kind") == "receipt" for reply in composed.replies):
                notices.after_receipt(session, message, now)
            return replies

    def _hand_over(self, session: Session, message: Message, composed: Composed, now: datetime) -> None:
        before = log.queue_hand_over(
            session, message.conversation_id, composed.hand_over, urgent=composed.urgent, now=now
        )
        kinds = [r.answer["kind"] for r in composed.replies]
        if "emergency" in kinds:
            return
        place = ownership.place(session, message.conversation_id, now=now)
        nobody = present(session, now) == 0
        reply = hand_over_reply(before, place.wait_minutes if place else None, nobody=nobody)
        if "handoff" not in kinds:
            composed.replies.append(reply)
        elif nobody and not composed.replies[-1].choices:
            last = composed.replies[-1]
            text = f"{last.text}\n{phrases()['handoff']['nobody']}"
            composed.replies[-1] = replace(last, text=text, sms=text, choices=call_back.offer())


__all__ = ["StorageError", "Turns", "utc_now"]
