"""A citizen's session token: `secret.until.signature`, signed with the data key and short-lived.

The secret's hash stands in the conversation's row: an erased conversation has no token any more, and a copy of the
database without the data key makes none. Whoever is in the conversation gets a new token in time; nobody is
thrown out while talking.
"""

from __future__ import annotations

import hmac
import re
import secrets
from datetime import datetime, timedelta

from bot.crypto import data_key
from bot.errors import HotlineError, Problem
from bot.settings import settings

_TOKEN = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9]{1,12})\.([0-9a-f]{64})", re.ASCII)
LONGEST = timedelta(days=30)
"""No token of a conversation outlives this, however often it is renewed: a stolen one ends, too."""


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def _signature(conversation_id: str, secret: str, until: int) -> str:
    return data_key().keyed_hash("conversation-token", f"{conversation_id}:{secret}:{until}")


def sign(conversation_id: str, secret: str, opened: datetime, now: datetime) -> str:
    """A token of a conversation that was opened then, good from now on for `HOTLINE_TOKEN_HOURS`."""
    until = int(min(now + timedelta(hours=settings().token_hours), opened + LONGEST).timestamp())
    return f"{secret}.{until}.{_signature(conversation_id, secret, until)}"


def check(conversation_id: str, token: str, now: datetime) -> tuple[str, timedelta]:
    """(the secret, how long the token is still good). Raises UNAUTHORIZED for a forged or expired one."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise HotlineError(Problem.UNAUTHORIZED)
    secret, until, given = match[1], int(match[2]), match[3]
    left = timedelta(seconds=until - now.timestamp())
    if not hmac.compare_digest(given, _signature(conversation_id, secret, until)) or left <= timedelta(0):
        raise HotlineError(Problem.UNAUTHORIZED)
    return secret, left


def renewed(
    conversation_id: str, secret: str, left: timedelta, opened: datetime, now: datetime
) -> str | None:
    """The next token once half of this one's life is over, as long as there is one to come."""
    if left > timedelta(hours=settings().token_hours) / 2 or now + left >= opened + LONGEST:
        return None
    return sign(conversation_id, secret, opened, now)
