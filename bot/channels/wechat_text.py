"""An answer as WeChat text: whole, with the menu as digits, in pieces that WeChat takes."""

from __future__ import annotations

from collections.abc import Sequence

from bot.channels.menu import Key

MAX_BYTES = 2000  # WeChat takes 2,048 bytes of UTF-8 a text.
BOT = "机器人答复："


def written(text: str, menu: Sequence[Key] = (), *, first: bool = False) -> str:
    """One message of the log; `first` says that a machine answers."""
    lines = [f"{BOT if first else ''}{text.strip()}"]
    if menu:
        lines += ["", "回复数字：", *(f"{k.key}　{k.label}" for k in menu)]
    return "\n".join(lines)


def size(text: str) -> int:
    """Bytes in UTF-8."""
    return len(text.encode())


def pieces(text: str) -> list[str]:
    """`text` in pieces of at most `MAX_BYTES`, cut after a line where there is one; nothing but that line end is lost."""
    found: list[str] = []
    while size(text) > MAX_BYTES:
        head = text.encode()[:MAX_BYTES].decode("utf-8", "ignore")
        cut = head.rfind("\n")
        head = head[:cut] if cut > len(head) // 2 else head
        found.append(head)
        text = text[len(head) :].removeprefix("\n")
    return [*found, text]
