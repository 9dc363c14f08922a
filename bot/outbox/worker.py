"""The worker that sends: leases what is due, hands it to the adapter of its kind, records the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from bot import request_ids
from bot.outbox import queue
from bot.outbox.models import Delivery
from bot.storage import StorageError

logger = structlog.get_logger(__name__)


class Retry(Exception):
    """It may work later; `after` is the receiver's own word, in seconds."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Refused(Exception):
    """It will never work: wrong address, rejected content. The delivery is dead at once."""


class Adapter(Protocol):
    """Sends the deliveries of one kind."""

    async def send(self, delivery: Delivery) -> str | None:
        """Send it; the receiver's number for it, if there is one. Raises `Retry` or `Refused`.

        `delivery.delivery_id` stays the same over retries and belongs into what is sent. Any other exception
        counts as `Retry`, and so does taking longer than the lease.
        """
        ...


@dataclass(frozen=True)
class _Outcome:
    id: int
    external_id: str | None = None
    error: str = ""
    after: float | None = None
    final: bool = False


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class Worker:
    """One sender. Any number may run, in one process or many; each delivery is leased to one of them.

    `seconds` is the length of a lease, `interval` the pause between looks into an empty queue.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        adapters: Mapping[str, Adapter],
        *,
        now: Callable[[], datetime] = _utc_now,
        name: str | None = None,
        limit: int = 20,
        seconds: float = 60.0,
        interval: float = 0.5,
    ) -> None:
        self._sessions = sessions
        self._adapters = adapters
        self._now = now
        # Not the name alone: a worker that was restarted must not take its dead predecessor's lease for its own.
        self.name = f"{name or socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"[:64]
        self._limit, self._seconds, self._interval = limit, seconds, interval
        self._unrecorded: list[_Outcome] = []
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look into the queue now: something was just committed."""
        self._woken.set()

    async def once(self) -> int:
        """Send what is due now; how many were tried. Raises `StorageError` while the database is down."""
        await self._record()
        deliveries = await asyncio.to_thread(self._lease)
        if deliveries:
            self._unrecorded += await asyncio.gather(*map(self._send, deliveries))
            await self._record()
        return len(deliveries)

    async def run(self) -> None:
        """Send until cancelled. A database that is down is waited for; outcomes are kept until it is back."""
        pause = self._interval
        while True:
            self._woken.clear()
            try:
                busy = await self.once()
                pause = self._interval
            except (StorageError, SQLAlchemyError) as error:
                busy, pause = 0, min(pause * 2, 15.0)
                logger.error("outbox_waits_for_database", error=type(error).__name__)
            except Exception as error:
                # A mistake in one round must not end all sending.
                busy, pause = 0, min(pause * 2, 15.0)
                logger.exception("outbox_failed", error=type(error).__name__)
            if not busy:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), pause)

    def _lease(self) -> list[Delivery]:
        now, kinds = self._now(), tuple(self._adapters)
        with self._sessions() as session:
            # Looking takes no write lock: an empty queue must not be in the way of the citizens' messages.
            session.connection(execution_options={"read_only": True})
            if not queue.is_due(session, now, kinds):
                return []
        with self._sessions.begin() as session:
            leased = queue.lease(session, self.name, now, self._limit, self._seconds, kinds)
        return leased

    async def _send(self, delivery: Delivery) -> _Outcome:
        # Each runs in a task of its own: what is bound here is bound for this delivery alone.
        with request_ids.within(
            delivery.request_id,
            delivery=delivery.delivery_id,
            conversation=delivery.conversation_id,
            case=delivery.case_number,
        ):
            return await self._try(delivery)

    async def _try(self, delivery: Delivery) -> _Outcome:
        try:
            # Less than the lease, so that nobody else sends it while this one still tries.
            async with asyncio.timeout(self._seconds * 0.8):
                external_id = await self._adapters[delivery.kind].send(delivery)
            logger.info("delivery_sent", kind=delivery.kind, attempts=delivery.attempts)
            return _Outcome(delivery.id, external_id)
        except Refused as refused:
            outcome = _Outcome(delivery.id, error=str(refused) or "refused", final=True)
        except Retry as retry:
            outcome = _Outcome(delivery.id, error=str(retry) or "retry", after=retry.after)
        except Exception as error:
            # Only the name: an unexpected error's text may hold what was being sent.
            outcome = _Outcome(delivery.id, error=type(error).__name__)
        logger.warning(
            "delivery_failed",
            kind=delivery.kind,
            attempts=delivery.attempts,
            error=queue.mask_text(outcome.error)[:255],
        )
        return outcome

    async def _record(self) -> None:
        while self._unrecorded:
            await asyncio.to_thread(self._record_one, self._unrecorded[0])
            self._unrecorded.pop(0)

    def _record_one(self, outcome: _Outcome) -> None:
        with self._sessions.begin() as session:
            if outcome.error:
                queue.failed(
                    session,
                    outcome.id,
                    outcome.error,
                    self._now(),
                    retry_after=outcome.after,
                    final=outcome.final,
                    worker=self.name,
                )
            else:
                queue.sent(session, outcome.id, outcome.external_id, self._now())
