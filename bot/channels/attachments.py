"""`POST …/attachments`: a citizen gives a picture or a PDF. There is no route to fetch one (see the desk)."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from bot.channels.widget import Access
from bot.conversations import attachments, log
from bot.conversations.models import Conversation
from bot.errors import HotlineError, Problem

router = APIRouter(prefix="/api/v1", tags=["conversations"])

PATH = re.compile(r"/api/v1/conversations/[^/]+/attachments")
OVERHEAD = 16 * 1024  # What the multipart form adds to a file.
KEPT = "收到“{name}”，会和您反映的内容一起交给工作人员，只有办理的工作人员能看到。"

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "client_message_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"},
                    },
                }
            }
        },
    }
}


@router.post("/conversations/{conversation_id}/attachments", status_code=201, openapi_extra=_BODY)
async def attach(request: Request, opened: Access) -> dict[str, Any]:
    """Store a file; the same `client_message_id` again gives the same body and stores nothing twice."""
    state = request.app.state
    if wait := state.sent.take(opened.id):
        raise HotlineError(Problem.TOO_MANY, retry_after=wait)
    upload = await _received(request)
    body = await asyncio.to_thread(_keep, request, opened.id, upload)
    state.turns.news.ring(opened.id)
    return body


async def _received(request: Request) -> attachments.Upload:
    most = request.app.state.config.attachment_bytes + OVERHEAD
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HotlineError(Problem.MALFORMED)
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=1)
    # What a citizen sends never lies on the disk in clear, not even for a moment.
    parser.spool_max_size = most
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError):
        raise HotlineError(Problem.MALFORMED) from None
    try:
        file, key = form.get("file"), form.get("client_message_id")
        if not isinstance(file, UploadFile) or not file.filename:
            raise HotlineError(Problem.MALFORMED)
        if key is None:
            key = uuid.uuid4().hex
        if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z0-9_-]{8,64}", key):
            raise HotlineError(Problem.MALFORMED)
        data = await file.read()
        return attachments.Upload(key, file.filename, data)
    finally:
        await form.close()


def _keep(request: Request, conversation_id: str, upload: attachments.Upload) -> dict[str, Any]:
    state = request.app.state
    now = state.turns.now()
    path = None
    try:
        with state.sessions.begin() as session:
            conversation = session.get_one(Conversation, conversation_id)
            stored, message, path = attachments.keep(
                session, conversation, upload, config=state.config, now=now
            )
            if path is not None and conversation.owner == "bot":
                said = KEPT.format(name=stored["name"])
                log.append(
                    session, conversation, "system", log.Reply(text=said, answer={}), now, reply_to=message
                )
            shown = log.as_json(message)
    except BaseException:
        if path is not None:
            path.unlink(missing_ok=True)
        raise
    return {
        "attachment_id": stored["id"],
        "name": stored["name"],
        "size": stored["size"],
        "type": stored["type"],
        "message": shown,
    }
