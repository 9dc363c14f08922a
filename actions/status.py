"""How far a case is: needs the receipt number **and** the phone number it was lodged with."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from functools import lru_cache
from typing import Any

from rasa_sdk import Action, Tracker
from rasa_sdk.executor import CollectingDispatcher

from actions.intake import own_words
from bot.cases.receipts import parse_number
from bot.cases.store import case_status_text, find_case
from bot.channels.limits import Limiter, limiter_of
from bot.conversations.models import Conversation
from bot.crypto import data_key
from bot.database import sessions
from bot.settings import settings

ATTEMPTS = 5  # A query code has six digits; nobody may guess through them in one conversation.
ATTEMPTS_A_CASE = 20  # at once, and one a minute over time: a query code's million takes a year
# A mobile number, a land line with its area code (0431…), or the six digits of an anonymous case.
_PROOF = re.compile(r"(?<!\d)((?:86)?1\d{10}|0\d{9,11}|\d{6})(?!\d)")

SAY = {
    "ask_both": "查进度要两样：登记编号（JL-开头，或12位短信查询码）和登记时留的手机号。请发给我，手机号只用来核对。",
    "ask_number": "手机号记下了。请再发登记编号（JL-开头，或12位短信查询码）。",
    "ask_phone": "编号 {number} 记下了。请再发登记时留的手机号核对；匿名登记的请发6位查询口令。",
    "bad_number": "这个编号不像我们发出的编号（可能少了或错了一位）。我们的编号是JL-开头，末位是校验码，请对照回执再发一次；没有编号可以转人工查。",
    "not_found": "没有查到编号和手机号（或口令）都对得上的登记。请核对后再发；编号不在手边，可以转人工查。查不到就是没有查到，我不会编进度。",
    "locked": "核对没有通过的次数太多，为保护他人信息，这里先不再查了，请转人工。",
    "unchanged": "目前登记库里只有以上记录，没有新的办理进展；要催办或补充情况，我可以转值班人员。",
}


class CaseStatus(Action):
    """Answers status questions; remembers a number or phone given in an earlier message."""

    def name(self) -> str:
        """Rasa's name of the action."""
        return "action_status"

    async def run(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any
    ) -> list[dict[str, Any]]:
        """Says the state, asks for what is missing, or says that nothing was found."""
        text = own_words(tracker.latest_message)
        dispatcher.utter_message(json_message=await asyncio.to_thread(_answer, tracker.sender_id, text))
        return []


@lru_cache
def _guesses() -> Limiter:
    # Conversations are cheap: without this, many of them could guess through a case's proof, five by five.
    return limiter_of(settings(), "guesses", 1, ATTEMPTS_A_CASE)


def _code(number: str) -> str:
    """The twelve digits, however the number was written."""
    parsed = parse_number(number)
    return parsed.sms_code if parsed else number


def _say(key: str, memory: dict[str, Any], **known: str) -> dict[str, Any]:
    return {
        "compose": "ready",
        "kind": "status",
        "text": SAY[key].format(**known),
        "choices": ["转人工"] if key != "ask_phone" else [],
        "state": {"status": memory},
    }


def _answer(conversation_id: str, text: str) -> dict[str, Any]:
    with sessions().begin() as session:
        conversation = session.get(Conversation, conversation_id)
        memory: dict[str, Any] = dict((conversation.state if conversation else {}).get("status") or {})
        parsed = parse_number(text)
        rest = text
        if parsed is not None:
            memory["number"] = parsed.number or parsed.sms_code
            rest = text.replace(parsed.written, " ")
            if not parsed.valid:
                memory.pop("number")
                return _say("bad_number", memory)
        elif re.search(r"(?i)jl[-\d]|(单|编|登记)号\D{0,4}\d{4,}", text):
            return _say("bad_number", memory)
        plain = re.sub(r"[-\s]", "", unicodedata.normalize("NFKC", rest))
        if proof := _PROOF.search(plain):
            memory["proof"] = proof.group(1)
        number, given = memory.get("number"), memory.get("proof")
        if not number and not given:
            return _say("not_found" if memory.get("asked") else "ask_both", memory | {"asked": True})
        if not number:
            return _say("ask_number", memory)
        if not given:
            return _say("ask_phone", memory, number=number)
        if memory.get("failed", 0) >= ATTEMPTS:
            return _say("locked", memory)
        if _guesses().take(data_key().keyed_hash("guesses", _code(number))):
            return _say("locked", memory)
        case = find_case(session, number, given)
        if case is None:
            return _say("not_found", {"asked": True, "failed": memory.get("failed", 0) + 1})
        said = case_status_text(session, case)
        again = memory.get("shown") == case.number
        memory["shown"] = case.number
        return {
            "compose": "ready",
            "kind": "status",
            "text": said.text + (f"\n{SAY['unchanged']}" if again else ""),
            "case": case.number,
            "choices": ["转人工"],
            "state": {"status": memory},
        }
