"""An answer as SMS: one idea, at most three parts, the menu as digits, nothing that tells who the citizen is.

A mainland SMS holds 70 UTF-16 units; a longer one is sent in parts of 67 (three go to the header that joins them).
The signature (签名) in 【】 counts. domain.md 5.4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bot.channels.menu import HUMAN_KEY, OWN_NUMBER, Key
from bot.crypto import mask_phone, mask_text

ONE, EACH = 70, 67  # UTF-16 units of a single SMS, and of each part of a longer one
MAX_PARTS = 3  # of an answer by the bot
STAFF_PARTS = 10  # what Kannel and the gateways join to one SMS; a longer text becomes several
BOT = "机器人答复："
CUT = "…"
_END = re.compile(r"[。！？；\n]")


def units(text: str) -> int:
    """UTF-16 units: a character beyond the basic plane counts two."""
    return len(text.encode("utf-16-be", "surrogatepass")) // 2


def parts(text: str) -> int:
    """How many SMS a text is sent as."""
    size = units(text)
    return 1 if size <= ONE else -(-size // EACH)


def capacity(number: int) -> int:
    """UTF-16 units that fit into a number of parts."""
    return ONE if number == 1 else number * EACH


def take(text: str, room: int) -> str:
    """The longest beginning of `text` that fits into `room` units; no character is cut in two."""
    used = 0
    for index, char in enumerate(text):
        used += units(char)
        if used > room:
            return text[:index]
    return text


def split(text: str, room: int) -> list[str]:
    """`text` in pieces of at most `room` units, cut after a sentence where there is one; nothing is lost."""
    pieces: list[str] = []
    while text:
        piece = take(text, room)
        if len(piece) < len(text):
            ends = [m.end() for m in _END.finditer(piece)]
            if ends and ends[-1] > len(piece) // 2:
                piece = piece[: ends[-1]]
        pieces.append(piece)
        text = text[len(piece) :]
    return pieces


def signed(text: str, signature: str) -> str:
    """`text` behind the signature."""
    return f"【{signature}】{text}" if signature else text


def masked(text: str, hidden: Sequence[str] = ()) -> str:
    """`text` without phone, ID and card numbers, and without the citizen's own particulars.

    An SMS lies open on phones and at carriers: 个人信息保护法 Art 51, domain.md 5.4.
    """
    for value in sorted(set(hidden), key=len, reverse=True):
        if re.fullmatch(r"[\d\s+\-－（）()]{5,}", value):
            text = text.replace(value, mask_phone(value))
        elif len(value) > 8:
            text = text.replace(value, f"{value[:2]}***")
        elif len(value) > 1:
            text = text.replace(value, value[0] + "*" * (len(value) - 1))
    return mask_text(text)


def menu_line(menu: Sequence[Key]) -> str:
    """回复 1看条件 2看办理 0人工; empty for an empty menu."""
    if not menu:
        return ""
    # 1 and 16条措施 must not read as 116.
    shown = [f"{k.key}{' ' if k.label[0].isdigit() else ''}{k.label}" for k in menu]
    return "回复 " + " ".join(shown)


def _shortened(body: str, room: int) -> str:
    """`body` in `room` units. What follows ※ (the validity of a measure) is never cut."""
    if units(body) <= room:
        return body
    head, mark, tail = body.rpartition("※")
    if not mark or units(tail) > room // 2:
        head, mark, tail = body, "", ""
    piece = take(head, room - units(mark + tail) - units(CUT))
    ends = [m.end() for m in _END.finditer(piece)]
    if ends and ends[-1] > len(piece) * 2 // 3:
        piece = piece[: ends[-1]]
    return piece.rstrip() + CUT + mark + tail


def written(
    text: str, menu: Sequence[Key] = (), *, signature: str, first: bool = False, hidden: Sequence[str] = ()
) -> str:
    """One answer of the bot as it leaves: signature, body, menu; `first` says that a machine answers.

    At most three parts: first the menu loses its last entries, but for the person's key and the citizen's own
    number, then the body is shortened.
    """
    body = masked((BOT if first else "") + text.strip(), hidden)
    room = capacity(MAX_PARTS) - units(signed("", signature))
    shown = list(menu)
    kept = [k for k in shown if k.key == HUMAN_KEY or k.label == OWN_NUMBER]
    line = menu_line(shown)
    # An answer may lose a suggestion; a question without its answers would be none.
    while len(shown) > max(len(kept), 4) and units(f"{body}\n{line}") > room:
        shown.remove([k for k in shown if k not in kept][-1])
        line = menu_line(shown)
    line = masked(line)
    body = _shortened(body, room - (units(line) + 1 if line else 0))
    return signed(f"{body}\n{line}" if line else body, signature)


def staff_texts(text: str, *, signature: str, hidden: Sequence[str] = ()) -> list[str]:
    """A staff member's words, whole: as many SMS as they need."""
    room = capacity(STAFF_PARTS) - units(signed("", signature))
    return [signed(piece, signature) for piece in split(masked(text.strip(), hidden), room)]


def short_form(body: str, extra: dict[str, Any] | None) -> str:
    """The SMS form of a message of the log; its text where it has none."""
    return str((extra or {}).get("sms") or body)
