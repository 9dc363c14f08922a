"""WeChat official account (公众号): messages and events in, answers within five seconds or by customer-service message.

WeChat sends a message again, up to three times, while it waits for the response; the MsgId makes that one message.
The answer stands in the outbox from the moment it exists and is due when WeChat's five seconds are over. Whoever is
quicker takes it: this response (被动回复) or the outbox (客服消息); one conditional UPDATE decides.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from fastapi import APIRouter, FastAPI, Request, Response
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from bot.channels import menu, wechat_text
from bot.channels.inbound import Incoming, answer_later, store
from bot.channels.wechat_api import WeChatApi
from bot.channels.wechat_crypto import Envelope
from bot.conversations import addresses, log
from bot.conversations.compose import greeting
from bot.conversations.models import Address, Conversation, Message
from bot.crypto import data_key
from bot.errors import HotlineError, Problem
from bot.outbox.models import Delivery
from bot.outbox.worker import Refused

WITHIN = 4.5  # seconds from WeChat's call to our response; it waits for five
RETRIES = timedelta(seconds=20)  # after so long no retry of WeChat's comes: a copy gets no answer any more
PASSIVE = "passive"  # external id of what went out as a response
SUCCESS = Response("success", media_type="text/plain")
UNREAD = {"image": "［图片］", "voice": "［语音］"}
SAY = "say:"  # a menu key that stands for words

router = APIRouter(prefix="/channels/wechat", include_in_schema=False)


@router.get("")
async def prove(request: Request) -> Response:
    """WeChat's check of the address: the echo of a signed call."""
    envelope: Envelope = request.app.state.wechat
    envelope.check(request.query_params)
    return Response(request.query_params.get("echostr", "")[:200], media_type="text/plain")


@router.post("")
async def receive(request: Request) -> Response:
    """A message or an event; the answer if there is one in time, else `success`."""
    begun = time.monotonic()
    envelope: Envelope = request.app.state.wechat
    fields = envelope.open(request.query_params, await request.body())
    openid, account = fields.get("FromUserName", "").strip(), fields.get("ToUserName", "")
    if not 0 < len(openid) <= 64:
        raise HotlineError(Problem.MALFORMED)
    text = await _answer(request.app, fields, openid, begun)
    if not text:
        return SUCCESS
    now = int(request.app.state.turns.now().timestamp())
    answer = {
        "ToUserName": openid,
        "FromUserName": account,
        "CreateTime": str(now),
        "MsgType": "text",
        "Content": text,
    }
    return Response(envelope.seal(answer, now), media_type="application/xml")


async def _answer(app: FastAPI, fields: dict[str, str], openid: str, begun: float) -> str:
    kind = fields.get("MsgType", "")
    if kind == "event":
        event = fields.get("Event", "").lower()
        if event in ("subscribe", "unsubscribe"):
            return await asyncio.to_thread(_follow, app, openid, event == "subscribe")
        if event != "click" or not fields.get("EventKey", "").startswith(SAY):
            return ""
    incoming = _incoming(fields, openid)
    message = await asyncio.to_thread(store, app, incoming)
    if message is None:
        return ""
    if message.answered_at is None:
        task = answer_later(app, message.conversation_id)
        await asyncio.wait([task], timeout=max(0.0, WITHIN - (time.monotonic() - begun)))
    return await asyncio.to_thread(_claim, app, message.id)


def _incoming(fields: dict[str, str], openid: str) -> Incoming:
    kind, number = fields.get("MsgType", ""), fields.get("MsgId", "")
    if kind == "event":
        # An event has no MsgId; WeChat names these two to tell a retry by.
        once = f"{openid}:{fields.get('CreateTime', '')}:{fields.get('EventKey', '')}"
        id = data_key().keyed_hash("wechat-event", once)
        return Incoming("wechat", openid, f"event:{id}", fields["EventKey"].removeprefix(SAY))
    if not number.isascii() or not number.isdigit() or len(number) > 40:
        raise HotlineError(Problem.MALFORMED)
    id = f"msg:{number}"
    if kind == "text":
        return Incoming("wechat", openid, id, fields.get("Content", ""))
    if kind == "voice" and fields.get("Recognition", "").strip():
        return Incoming("wechat", openid, id, fields["Recognition"])
    unread = kind if kind in UNREAD else "other"
    return Incoming("wechat", openid, id, UNREAD.get(kind, "［不支持的消息］"), unread)


def _follow(app: FastAPI, openid: str, follows: bool) -> str:
    """关注 and 取消关注: the greeting once; who left gets no notices."""
    now = app.state.turns.now()
    with app.state.sessions.begin() as session:
        row = addresses.open_address(session, "wechat", openid, now=now)
        row.opted_out_at = None if follows else now
        conversation = session.get_one(Conversation, row.conversation_id)
        hello = greeting()
        text = wechat_text.written(hello.text)
        if not follows:
            return ""
        if conversation.next_seq == 1:
            # Logged for staff; the buttons are the account's menu, and the response carries the words.
            stored = log.append(session, conversation, "bot", log.Reply(hello.text, hello.answer), now)
            _take(session, [stored.id], now)
        return text


def _take(session: Session, message_ids: list[str], now: object) -> int:
    """Take replies out of the outbox that nobody began to send; how many of them were won."""
    keys = [f"reply:{id}" for id in message_ids]
    won = session.execute(
        update(Delivery)
        .where(Delivery.dedupe_key.in_(keys), Delivery.state == "pending", Delivery.attempts == 0)
        .values(state="sent", external_id=PASSIVE, sent_at=now)
        .execution_options(synchronize_session=False)
    )
    return int(won.rowcount)  # type: ignore[attr-defined]


def _claim(app: FastAPI, message_id: str) -> str:
    """The answer to a message as far as it may go out as this response; empty for nothing.

    Replies that do not fit into one text stay in the outbox. A retry of WeChat's gets the same words again: it did
    not take the first response, or it would not have come.
    """
    now = app.state.turns.now()
    with app.state.sessions.begin() as session:
        message = session.get_one(Message, message_id)
        if now - message.created_at > RETRIES:
            return ""
        texts: list[str] = []
        for reply in log.replies_to(session, message_id):
            text = _written(session, reply)
            if wechat_text.size("\n\n".join([*texts, text])) > wechat_text.MAX_BYTES:
                break
            if not _take(session, [reply.id], now) and not _went_here(session, reply.id):
                break
            texts.append(text)
        return "\n\n".join(texts)


def _went_here(session: Session, message_id: str) -> bool:
    query = select(Delivery.external_id).where(Delivery.dedupe_key == f"reply:{message_id}")
    return session.scalar(query) == PASSIVE


def _written(session: Session, message: Message) -> str:
    if message.author == "staff":
        return wechat_text.written(message.body)
    earlier = select(Message.id).where(
        Message.conversation_id == message.conversation_id,
        Message.author.in_(("bot", "staff")),
        Message.seq < message.seq,
    )
    first = message.author == "bot" and session.scalar(earlier.limit(1)) is None
    return wechat_text.written(message.body, menu.keys(message.extra), first=first)


@dataclass
class _Progress:
    texts: list[str]
    sent: int = 0


class WeChatAdapter:
    """Sends the outbox' deliveries of kind `wechat` as customer-service messages."""

    def __init__(self, readers: sessionmaker[Session], api: WeChatApi) -> None:
        self.readers = readers
        self.api = api
        self._progress: dict[str, _Progress] = {}

    async def send(self, delivery: Delivery) -> str | None:
        """WeChat numbers nothing; raises `Retry` or `Refused`."""
        openid, texts = await asyncio.to_thread(self._written, delivery)
        # A piece that is out already must not come again because a later one failed.
        progress = self._progress.setdefault(delivery.delivery_id, _Progress(texts))
        while progress.sent < len(progress.texts):
            await self.api.say(openid, progress.texts[progress.sent])
            progress.sent += 1
        del self._progress[delivery.delivery_id]
        return None

    def _written(self, delivery: Delivery) -> tuple[str, list[str]]:
        with self.readers() as session:
            address = session.get(Address, delivery.target.get("address"))
            message = session.get(Message, delivery.payload.get("message"))
            if address is None or message is None:
                raise Refused("the message or its address was erased")
            return address.address, wechat_text.pieces(_written(session, message))
