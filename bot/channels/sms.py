"""SMS: stored first, acknowledged at once with an empty body, answered from the outbox.

Whatever the gateway (bot/channels/sms_gateways.py): it delivers a message again until it hears 200, also while the
first one is being worked on; its id makes that one message.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from bot.channels import menu, sms_text
from bot.channels.inbound import Incoming, answer_later, store
from bot.channels.sms_gateways import Call, Gateway, Outgoing
from bot.conversations.delivery import NOTICE
from bot.conversations.models import Address, Message
from bot.errors import HotlineError, Problem
from bot.outbox import queue
from bot.outbox.models import Delivery
from bot.outbox.worker import Refused
from bot.settings import Settings

router = APIRouter(prefix="/channels/sms", include_in_schema=False)


async def _call(request: Request, name: str) -> tuple[Gateway, Call]:
    gateway: Gateway = request.app.state.sms
    if name != gateway.name:
        raise HotlineError(Problem.NOT_FOUND)
    client = request.client.host if request.client else ""
    call = Call(dict(request.query_params), dict(request.headers), await request.body(), client)
    gateway.verify(call)
    return gateway, call


@router.post("/{name}")
async def receive(request: Request, name: str) -> Response:
    """A citizen's SMS. 200 with an empty body once it is committed: smsbox would send any body as an answer."""
    gateway, call = await _call(request, name)
    got = gateway.text(call)
    incoming = Incoming("sms", got.sender, f"{gateway.name}:{got.id}", got.text)
    message = await asyncio.to_thread(store, request.app, incoming)
    if message is not None and message.answered_at is None:
        answer_later(request.app, message.conversation_id)
    return Response(status_code=200)


@router.api_route("/{name}/report", methods=["GET", "POST"])
async def report(request: Request, name: str) -> Response:
    """A delivery report; one about something unknown is acknowledged too, or it would come for ever."""
    gateway, call = await _call(request, name)
    got = gateway.report(call)
    if got.ok is not None:
        await asyncio.to_thread(_record, request, got.id, got.ok)
    return Response(status_code=200)


def _record(request: Request, id: str, ok: bool) -> None:
    with request.app.state.sessions.begin() as session:
        queue.report(session, "sms", id, ok, request.app.state.turns.now())


class SmsAdapter:
    """Sends the outbox' deliveries of kind `sms`: writes the message of the log out and hands it to the gateway."""

    def __init__(self, readers: sessionmaker[Session], gateway: Gateway, config: Settings) -> None:
        self.readers = readers
        self.gateway = gateway
        self.signature = config.sms_signature
        self._sent: dict[str, int] = {}  # texts of a long one that are out already, by delivery id

    async def send(self, delivery: Delivery) -> str | None:
        """The gateway's number of the SMS; raises `Retry` or `Refused`."""
        texts = await asyncio.to_thread(self.written, delivery)
        reference = delivery.delivery_id
        number: str | None = None
        for index in range(self._sent.get(reference, 0), len(texts)):
            number = await self.gateway.send(texts[index])
            if len(texts) > 1:
                self._sent[reference] = index + 1
        self._sent.pop(reference, None)
        return number

    def written(self, delivery: Delivery) -> list[Outgoing]:
        """The SMS that a delivery is: one, or more for a long text by staff. Raises `Refused` if it was erased."""
        with self.readers() as session:
            address = session.get(Address, delivery.target.get("address"))
            message = session.get(Message, delivery.payload.get("message"))
            if address is None or message is None:
                raise Refused("the message or its address was erased")
            hidden = delivery.payload.get("hidden") or []
            if message.author == "staff":
                texts = sms_text.staff_texts(message.body, signature=self.signature, hidden=hidden)
            else:
                body = sms_text.short_form(message.body, message.extra)
                shown = menu.keys(message.extra, address.address)
                first = message.author == "bot" and not _spoke_before(session, message)
                texts = [sms_text.written(body, shown, signature=self.signature, first=first, hidden=hidden)]
            notice = ((message.extra or {}).get("card") or {}).get(NOTICE) or {}
            return [
                Outgoing(
                    delivery.delivery_id,
                    address.address,
                    text,
                    notice.get("template", ""),
                    notice.get("variables"),
                )
                for text in texts
            ]


def _spoke_before(session: Session, message: Message) -> bool:
    earlier = select(Message.id).where(
        Message.conversation_id == message.conversation_id,
        Message.author.in_(("bot", "staff")),
        Message.seq < message.seq,
    )
    return session.scalar(earlier.limit(1)) is not None
