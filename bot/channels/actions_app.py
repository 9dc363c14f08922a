"""The action webhook that the engine calls on loopback, served with rasa-sdk's executor.

It lives in the gateway's process, so that no third process is needed, but on its own port, so that nobody
outside can reach it; the token in the URL keeps other programs of this machine out.
"""

from __future__ import annotations

import hmac
import time
from typing import Any

import structlog
from rasa_sdk.executor import ActionExecutor
from rasa_sdk.interfaces import ActionExecutionRejection, ActionNotFoundException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bot import request_ids

logger = structlog.get_logger(__name__)


def _ids(call: dict[str, Any]) -> tuple[str, str]:
    """Request id and conversation of the turn, as the gateway gave them to the engine with the message."""
    tracker = call.get("tracker") or {}
    metadata = (tracker.get("latest_message") or {}).get("metadata") or {}
    context = metadata.get("context") or {}
    return request_ids.accept(context.get("request_id")), str(call.get("sender_id") or "")


def create_actions_app(token: str) -> Starlette:
    """The webhook at `/webhook/{token}`."""
    executor = ActionExecutor()
    executor.register_package("actions")

    async def webhook(request: Request) -> JSONResponse:
        if not hmac.compare_digest(request.path_params["token"].encode(), token.encode()):
            return JSONResponse({"error": "token"}, status_code=401)
        # The engine leaves out the domain, which no action reads (bot/engine/server/endpoints.yml); the SDK wants one.
        call: dict[str, Any] = {"domain": {}} | await request.json()
        request_id, conversation = _ids(call)
        with request_ids.within(request_id, conversation=conversation):
            return await run(call)

    async def run(call: dict[str, Any]) -> JSONResponse:
        begun = time.perf_counter()
        try:
            result = await executor.run(call)
        except ActionExecutionRejection as error:
            return JSONResponse({"error": str(error), "action_name": error.action_name}, status_code=400)
        except ActionNotFoundException as error:
            return JSONResponse({"error": str(error), "action_name": error.action_name}, status_code=404)
        except Exception as error:
            # The engine must see a failure: an empty success would be silence to the citizen.
            logger.exception("action_failed", action=call.get("next_action"), error=type(error).__name__)
            return JSONResponse({"error": type(error).__name__}, status_code=500)
        ms = round((time.perf_counter() - begun) * 1000)
        logger.info("action", action=call.get("next_action"), ms=ms)
        return JSONResponse(result.model_dump() if result else {"events": [], "responses": []})

    return Starlette(routes=[Route("/webhook/{token}", webhook, methods=["POST"])])
