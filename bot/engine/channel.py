"""The engine's only channel: one turn in, replies and reading out.

`POST /webhooks/turn/webhook` with header `X-Hotline-Token` and
`{"conversation_id", "message_id", "text", "context": {...}}` answers
`{"replies": [custom payloads], "reading": {...}, "entities": [...]}`. 401 without the token, 400 for a
malformed body, 500 with `{"error"}` when the turn failed, so that nobody takes silence for an answer.
`"context": {"read_only": true}` reads the text and decides nothing: no action runs, so that what an agent tries
in the copilot opens no draft; `replies` is empty then.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from rasa.core.channels.channel import CollectingOutputChannel, InputChannel, UserMessage
from sanic import Blueprint, response
from sanic.request import Request
from sanic.response import HTTPResponse

from bot.engine.tracker_store import TURN, Turn

logger = logging.getLogger(__name__)


class TurnInput(InputChannel):
    """Takes turns from the service."""

    @classmethod
    def name(cls) -> str:
        """The name in the URL."""
        return "turn"

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> TurnInput:
        """Needs `token`."""
        return cls(str((credentials or {}).get("token") or ""))

    def __init__(self, token: str) -> None:
        self.token = token

    def blueprint(self, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Blueprint:
        """The routes."""
        routes = Blueprint("turn", __name__)

        @routes.get("/")
        async def health(_: Request) -> HTTPResponse:
            return response.json({"status": "ok"})

        @routes.post("/webhook")
        async def receive(request: Request) -> HTTPResponse:
            given = request.headers.get("x-hotline-token", "")
            if not self.token or not hmac.compare_digest(given.encode(), self.token.encode()):
                return response.json({"error": "token"}, status=401)
            body = request.json
            if not isinstance(body, dict) or not all(
                isinstance(body.get(key), str) and body[key]
                for key in ("conversation_id", "message_id", "text")
            ):
                return response.json({"error": "malformed"}, status=400)
            # The gateway's id of the citizen's call: one `grep` finds it in all logs.
            logger.info(
                "turn %s request %s", body["conversation_id"], request.headers.get("x-request-id", "-")
            )
            context = body.get("context") if isinstance(body.get("context"), dict) else {}
            if context.get("read_only") is True:
                return await _read(request.app.ctx.agent.processor, body, context)
            return await _turn(on_new_message, body, context)

        return routes


def _message(
    body: dict[str, Any], context: dict[str, Any], collector: CollectingOutputChannel
) -> UserMessage:
    return UserMessage(
        # A citizen's text must not name an intent (Rasa reads a leading "/" as a command).
        "∕" + body["text"].lstrip("/") if body["text"].startswith("/") else body["text"],
        collector,
        body["conversation_id"],
        input_channel="turn",
        message_id=body["message_id"],
        # Rasa passes the normal form on; actions need the citizen's own words.
        metadata={"context": context, "message_id": body["message_id"], "text": body["text"]},
    )


async def _read(processor: Any, body: dict[str, Any], context: dict[str, Any]) -> HTTPResponse:
    try:
        parse = await processor.parse_message(_message(body, context, CollectingOutputChannel()))
    except Exception as error:
        logger.exception("reading failed")
        return response.json({"error": type(error).__name__}, status=500)
    return response.json(
        {"replies": [], "reading": parse.get("reading", {}), "entities": parse.get("entities", [])}
    )


async def _turn(
    on_new_message: Callable[[UserMessage], Awaitable[Any]], body: dict[str, Any], context: dict[str, Any]
) -> HTTPResponse:
    collector = CollectingOutputChannel()
    turn = Turn(intake=bool(context.get("intake")))
    mark = TURN.set(turn)
    try:
        await on_new_message(_message(body, context, collector))
    except Exception as error:
        logger.exception("turn failed")
        return response.json({"error": type(error).__name__}, status=500)
    finally:
        TURN.reset(mark)
    parse = turn.tracker.latest_message.parse_data if turn.tracker and turn.tracker.latest_message else {}
    replies = [m["custom"] for m in collector.messages if isinstance(m.get("custom"), dict)]
    return response.json(
        {"replies": replies, "reading": parse.get("reading", {}), "entities": parse.get("entities", [])}
    )
