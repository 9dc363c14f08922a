"""Buttons as digits, for channels without buttons: 回复 1看条件 2看办理 0人工.

A digit answers the menu of the bot's last words; when they offered none it is a text like any other (an amount, the
number of a measure). `0` calls a person at any time.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.conversations.models import Message
from bot.conversations.wording import phrases

OWN_NUMBER = "用本机号码"
HUMAN_KEY = "0"
_HUMAN = ("人工", "转人工")
_KEY = re.compile(r"(?:回复|回|选|按)?第?(\d{1,2})(?:号|项)?[.。、]?")
_MOBILE = re.compile(r"1[3-9]\d{9}")
_LOOK_BACK = 12  # More messages than one turn ever has.


@dataclass(frozen=True)
class Key:
    """One line of a menu: what is pressed, what it is called, what it means."""

    key: str
    label: str
    send: str
    picked: tuple[int, ...] = ()


def keys(extra: dict[str, Any] | None, phone: str = "") -> list[Key]:
    """The menu of a message; the person's key comes last.

    `phone`: the number that the citizen writes from; it is offered where the record asks for one.
    """
    extra = extra or {}
    offered: list[dict[str, Any]] = list(extra.get("choices") or [])
    asked = ((extra.get("card") or {}).get("intake") or {}).get("asked")
    if asked == "phone" and _MOBILE.fullmatch(phone):
        offered.insert(0, {"label": OWN_NUMBER, "send": phone})
    human = [c for c in offered if c["label"] in _HUMAN]
    others = [c for c in offered if c["label"] not in _HUMAN]
    found = [
        Key(str(n), c["label"], c.get("send") or c["label"], tuple(c.get("picked") or ()))
        for n, c in enumerate(others, 1)
    ]
    return found + [Key(HUMAN_KEY, "人工", phrases()["human"]) for _ in human[:1]]


def _last_menu(session: Session, conversation_id: str, phone: str) -> list[Key]:
    rows = session.scalars(
        select(Message)
        .where(Message.conversation_id == conversation_id, Message.author != "user")
        .order_by(Message.seq.desc())
        .limit(_LOOK_BACK)
    )
    turn: str | None = None
    for message in rows:
        if message.author == "staff" or (turn is not None and message.reply_to != turn):
            return []
        if found := keys(message.extra, phone):
            return found
        if message.author == "bot":
            # A notice in between takes no menu away; another answer of the bot does.
            turn = message.reply_to or ""
    return []


def pressed(
    session: Session, conversation_id: str, text: str, phone: str = ""
) -> tuple[str, tuple[int, ...]]:
    """What a message means: the text of the key it presses and the measures picked by it, or itself."""
    said = re.sub(r"\s", "", unicodedata.normalize("NFKC", text))
    match = _KEY.fullmatch(said)
    if match is None:
        return text, ()
    if match[1] == HUMAN_KEY:
        return phrases()["human"], ()
    for key in _last_menu(session, conversation_id, phone):
        if key.key == match[1]:
            return key.send, key.picked
    return text, ()
