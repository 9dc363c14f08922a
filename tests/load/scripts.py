"""What scripted citizens want: questions, whole intakes, the state of a case, a person, small talk.

A script talks until its matter is settled or the run is over. It keeps its temper: what went wrong is said again, as
people do, and the record that the bot reads back is looked at before it is confirmed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tests.load.citizens import Citizen, Conversation

PATIENT = 30  # messages after which an intake that does not come to its end is left
SAME = 4  # times that one question is answered in the same words before a citizen gives up


@lru_cache
def sentences() -> dict[str, Any]:
    """`sentences.yml`."""
    known: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("sentences.yml").read_text("utf-8"))
    return known


def asked_in(replies: list[dict[str, Any]]) -> str:
    """Which field the intake asks for now; empty if none of the replies asks."""
    cards = [(reply.get("card") or {}).get("intake") for reply in replies]
    return next((card["asked"] for card in reversed(cards) if card), "")


def _rows(replies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the summary as they are shown."""
    cards = [(reply.get("card") or {}).get("intake") for reply in replies]
    return next((card["known"] for card in reversed(cards) if card), [])


def _has(replies: list[dict[str, Any]], kind: str) -> bool:
    return any(reply.get("answer", {}).get("kind") == kind for reply in replies)


async def ask(citizen: Citizen) -> None:
    """Some questions about the measures, some of them with one that leans on the answer."""
    for question in citizen.chance.sample(sentences()["questions"], 3):
        await citizen.say(question)
        if citizen.chance.random() < 0.4:
            await citizen.say(citizen.chance.choice(sentences()["follow_ups"]))


async def chat(citizen: Citizen) -> None:
    """Small talk."""
    for words in citizen.chance.sample(sentences()["small_talk"], 2):
        await citizen.say(words)


async def hand_over(citizen: Citizen) -> None:
    """Ask for a person, wait and add something."""
    await citizen.say(citizen.chance.choice(sentences()["hand_over"]))
    for words in citizen.chance.sample(sentences()["while_waiting"], 2):
        await citizen.say(words)


async def lodge(citizen: Citizen) -> None:
    """A whole intake in a conversation of its own, to the receipt; then how far it is."""
    story = dict(citizen.chance.choice(sentences()["stories"]))
    mark, number = f"A{citizen.chance.randrange(10**6):06d}", citizen.chance.randrange(10**8)
    told: dict[str, str] = {
        "mark": mark,
        "name": citizen.chance.choice(sentences()["names"]),
        "phone": f"13{citizen.chance.choice('0123456789')}{number:08d}",
    } | {key: str(value).format(mark=mark) for key, value in story.items()}
    talk = await citizen.open()
    replies = await citizen.say(citizen.chance.choice([told["open"], _at_once(told)]))
    answers: Counter[str] = Counter()
    for _ in range(PATIENT):
        if _has(replies, "receipt"):
            return await _ask_state(citizen, talk, told)
        asked = asked_in(replies)
        if asked == "review":
            rows = _rows(replies)
            if not any(mark in row["value"] for row in rows):
                # Not what was told, so it is not confirmed: something went by while the bot was down.
                if answers["review"]:
                    return
                answers["review"] += 1
                replies = await citizen.say(told["facts"])
                continue
            await citizen.pause()
            replies = await citizen.send(sentences()["confirm"])
            talk.confirmed.append((talk.sent[-1].id, rows, told))
            continue
        # No question came along: a failure, a person who has the conversation, an answer by the way.
        words = told.get(asked) or _again(talk, told)
        answers[asked] += bool(asked)
        if answers[asked] > SAME:
            return
        replies = await citizen.say(words)


def _at_once(told: dict[str, str]) -> str:
    """The whole matter in one message, as people do who have thought about it."""
    parts = [told["open"], told.get("respondent", ""), told["facts"], told.get("request", "")]
    if "anonymous" not in told or told["anonymous"] == "实名":
        parts += [f"我叫{told['name']}", f"电话{told['phone']}"] if told["name"] != "不留了" else []
    return "，".join(part for part in parts if part and "跳过" not in part)


def _again(talk: Conversation, told: dict[str, str]) -> str:
    """What to say to a reply without a question: the bot is asked where it was, or the intake begun."""
    begun = any(asked_in([message]) for message in talk.log)
    return str(sentences()["resume"]) if begun else told["open"]


async def _ask_state(citizen: Citizen, talk: Conversation, told: dict[str, str]) -> None:
    number, message = next(talk.receipts())
    code = message["card"]["receipt"]["cases"][0].get("query_code")
    words = citizen.chance.choice(sentences()["status"])
    await citizen.say(words.format(number=number))
    proof = code or citizen.chance.choice(sentences()["proof"]).format(phone=told["phone"])
    await citizen.say(proof)


Script = Callable[[Citizen], Awaitable[None]]
SCRIPTS: tuple[Script, ...] = (ask, lodge, hand_over, chat)
# Of a hundred matters, so many are each of `SCRIPTS`. An intake has two to three times as many messages as the others.
USUAL = (60, 15, 8, 17)
INTAKES = (35, 45, 8, 12)  # where most is at stake: for the crash test


async def live(citizen: Citizen, weights: Sequence[int] = USUAL, turns: int = 20) -> None:
    """One matter after the other, a new conversation after about `turns` messages; until the run is over."""
    while not citizen.over.is_set():
        if citizen.talk is None or len(citizen.talk.sent) >= turns:
            await citizen.open()
        [script] = citizen.chance.choices(SCRIPTS, weights)
        await script(citizen)
