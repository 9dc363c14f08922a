"""The menu under the WeChat conversation: data in `deploy/wechat/menu.json`, checked and sent by

    python -m bot.channels.wechat_menu [--check] [FILE]

A button's key is `say:` and the words that it stands for, so that a new button needs no code.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bot.channels.wechat import SAY
from bot.channels.wechat_api import WeChatApi
from bot.outbox.worker import Refused, Retry
from bot.settings import ROOT, settings

MENU = ROOT / "deploy" / "wechat" / "menu.json"


def load_menu(path: Path = MENU) -> dict[str, Any]:
    """The menu of a file, as WeChat's `menu/create` takes it."""
    menu: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return menu


def check(menu: dict[str, Any]) -> list[str]:
    """What WeChat would refuse, or what nobody would answer: three buttons of at most five each, short names."""
    buttons = menu.get("button") or []
    problems = [] if 1 <= len(buttons) <= 3 else ["A menu has 1 to 3 buttons."]
    for button in buttons:
        below = button.get("sub_button")
        if below is not None and not 1 <= len(below) <= 5:
            problems.append(f"{button.get('name')}: 1 to 5 entries below a button.")
        problems += _names(button, 16)
        for entry in below if below is not None else [button]:
            problems += [] if entry is button else _names(entry, 60)
            key = str(entry.get("key", ""))
            if entry.get("type") != "click":
                problems.append(f"{entry.get('name')}: only type click is answered.")
            if not key.startswith(SAY) or len(key) == len(SAY) or len(key.encode()) > 128:
                problems.append(f"{entry.get('name')}: the key is say: and words, 128 bytes at most.")
    return problems


def _names(button: dict[str, Any], most: int) -> list[str]:
    name = str(button.get("name", ""))
    fits = 0 < len(name.encode()) <= most
    return (
        [] if fits else [f"{name or 'A button'}: a name of 1 to {most} bytes, a Chinese character is three."]
    )


async def _send(menu: dict[str, Any]) -> None:
    api = WeChatApi(settings())
    try:
        await api.set_menu(menu)
    finally:
        await api.close()


def main() -> int:
    """Check the menu and send it; 0 when WeChat took it."""
    parser = argparse.ArgumentParser(description="Replace the menu of the official account.")
    parser.add_argument("file", nargs="?", type=Path, default=MENU)
    parser.add_argument("--check", action="store_true", help="only check the file")
    chosen = parser.parse_args()
    menu = load_menu(chosen.file)
    if problems := check(menu):
        print("\n".join(problems), file=sys.stderr)
        return 1
    if chosen.check:
        return 0
    try:
        asyncio.run(_send(menu))
    except (Retry, Refused) as error:
        print(f"WeChat did not take the menu: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
