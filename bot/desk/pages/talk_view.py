"""What the conversation page shows, read in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases import fields
from bot.cases.calendar import local_date
from bot.cases.models import Case
from bot.conversations.models import Attachment, Conversation, HandOver
from bot.crypto import mask_text
from bot.desk.conversations_api import view
from bot.desk.pages.rows import CaseRow, case_row
from bot.errors import HotlineError, Problem

EMPTY = ("handoff", "chitchat", "affirm", "deny", "more")


@dataclass(frozen=True)
class Wait:
    """An open hand-over."""

    reason: str
    urgent: bool
    since: datetime


@dataclass(frozen=True)
class Talk:
    """A conversation: `messages` are those after the seq asked for, the rest is everything."""

    view: dict[str, Any]
    messages: list[dict[str, Any]]
    owner_id: str | None
    waiting: Wait | None
    reason: str
    draft: dict[str, Any] | None
    cases: list[CaseRow]
    files: list[dict[str, str]] = field(default_factory=list)

    @property
    def said(self) -> list[str]:
        """The citizen's words among `messages` that are worth a suggestion: no bare 人工 or 是的."""
        own = [m for m in self.messages if m["author"] == "user"]
        return [m["text"] for m in own if (m.get("reading") or {}).get("intent") not in EMPTY]


def read_talk(session: Session, conversation_id: str, after: int, now: datetime, *, unmask: bool) -> Talk:
    """The conversation; raises UNKNOWN_CONVERSATION."""
    conversation = session.get(Conversation, conversation_id)
    if conversation is None:
        raise HotlineError(Problem.UNKNOWN_CONVERSATION)
    shown = view(session, conversation, after, unmask=unmask)
    while len(shown["messages"]) and len(shown["messages"]) % 500 == 0:
        more = view(session, conversation, shown["messages"][-1]["seq"], unmask=unmask)["messages"]
        if not more:
            break
        shown["messages"] += more
    last = session.scalar(
        select(HandOver)
        .where(HandOver.conversation_id == conversation_id)
        .order_by(HandOver.created_at.desc())
        .limit(1)
    )
    waiting = last if last is not None and last.state == "waiting" else None
    today = local_date(now)
    cases = select(Case).where(Case.conversation_id == conversation_id).order_by(Case.created_at)
    files = (
        select(Attachment)
        .where(Attachment.conversation_id == conversation_id)
        .order_by(Attachment.created_at)
    )
    return Talk(
        view=shown,
        messages=shown["messages"],
        owner_id=conversation.owner_id,
        waiting=Wait(waiting.reason, waiting.urgent, waiting.created_at) if waiting else None,
        reason=last.reason if last else "",
        draft=_draft(shown["draft"]),
        cases=[case_row(case, today) for case in session.scalars(cases)],
        files=[
            {
                "id": f.id,
                "name": f.name if unmask else mask_text(f.name),
                "size": f"{max(1, f.size // 1024)} KB",
            }
            for f in session.scalars(files)
        ],
    )


def _draft(draft: dict[str, Any] | None) -> dict[str, Any] | None:
    if not draft:
        return None
    kind = {"T": "complaint", "J": "report", "S": "request", "Y": "suggestion"}.get(
        draft["type"] or "", "complaint"
    )
    known = fields.wording()["fields"]
    asked = draft["asked"]
    return {
        "type_label": fields.type_name(kind) if draft["type"] else "还没有确定",
        "rows": [
            (fields.label(name, kind) if name in known else name, value)
            for name, value in draft["fields"].items()
        ],
        "asked": fields.label(asked, kind) if asked in known else ("请市民核对" if asked == "review" else ""),
    }
