"""What must be true after anything: every look gives sentences, and an empty list is a promise kept.

The numbers are those of ARCHITECTURE.md's ten promises.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.fields import display
from bot.cases.models import Case
from bot.conversations.models import Conversation as Stored
from bot.conversations.models import Message
from tests.load.citizens import Conversation

# What the bot may say although a person has the conversation (bot.conversations.turns.NEVER_DROPPED).
ALWAYS_SAID = ("emergency", "receipt")


def of_log(talk: Conversation, server: Sequence[dict[str, Any]]) -> list[str]:
    """Promises 2 and 4: the server's log has no gap and no double, and is what the citizen has seen."""
    faults = []
    seqs = [message["seq"] for message in server]
    if seqs != list(range(1, len(seqs) + 1)):
        faults.append(f"{talk.id}: the log's seqs are {seqs}")
    if talk.log != list(server):
        seen = {message["seq"] for message in talk.log} ^ set(seqs)
        faults.append(f"{talk.id}: the citizen's log is not the server's (only one side has {sorted(seen)})")
    stored = Counter(m.get("client_message_id") for m in server if m["author"] == "user")
    for sent in talk.sent:
        if stored.pop(sent.id, 0) != 1:
            faults.append(f"{talk.id}: the message {sent.id} is not in the log exactly once")
    if stored:
        faults.append(f"{talk.id}: messages that nobody sent: {sorted(map(str, stored))}")
    return faults


def of_responses(talk: Conversation) -> list[str]:
    """Promise 2: what accepted a message holds that message and just the replies that the log has for it."""
    faults = []
    for sent in talk.sent:
        if sent.body is None:
            continue
        seqs = [m["seq"] for m in [sent.body["message"], *sent.body["replies"]]]
        if sent.body["message"].get("client_message_id") != sent.id:
            faults.append(f"{talk.id}: the message {sent.id} was answered with another one's body")
        if any(talk.messages.get(seq) != m for seq, m in zip(seqs, _shown(sent.body))):
            faults.append(f"{talk.id}: the response to {sent.id} differs from the log")
        if sent.status == 200 and not sent.body["replies"]:
            faults.append(f"{talk.id}: {sent.id} got 200 without a reply")
    return faults


def _shown(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [body["message"], *body["replies"]]


def of_answers(session: Session) -> list[str]:
    """Promises 1, 3, 4 and 5 over all conversations: stored in order, answered once or in a person's hands."""
    faults = []
    logs: dict[str, list[Message]] = defaultdict(list)
    for message in session.scalars(select(Message).order_by(Message.conversation_id, Message.seq)):
        logs[message.conversation_id].append(message)
    for conversation in session.scalars(select(Stored)):
        log = logs.pop(conversation.id, [])
        if [m.seq for m in log] != list(range(1, conversation.next_seq)):
            faults.append(f"{conversation.id}: seqs {[m.seq for m in log]}, next is {conversation.next_seq}")
        faults += [f"{conversation.id}: {fault}" for fault in _of_turns(log)]
    faults += [f"{id}: messages without a conversation" for id in logs]
    return faults


def _of_turns(log: Sequence[Message]) -> Iterable[str]:
    replies: dict[str, list[Message]] = defaultdict(list)
    for message in log:
        if message.reply_to:
            replies[message.reply_to].append(message)
    person = False
    for at, message in enumerate(log):
        if message.author == "system":
            person = _owner_after(message, person)
        elif message.author == "bot" and person and _kind(message) not in ALWAYS_SAID:
            yield f"the bot said seq {message.seq} ({_kind(message)}) while a person had the conversation"
        if message.author != "user":
            continue
        own = replies.pop(message.id, [])
        if message.answered_at is None:
            yield f"seq {message.seq} was accepted and never finished"
        elif not own and not person and not _claimed_next(log[at + 1 :]):
            yield f"seq {message.seq} was answered with silence, and no person had the conversation"
        # The replies of one turn are stored together, at one time and one after the other.
        if len({r.created_at for r in own}) > 1 or [r.seq for r in own] != _run(own):
            yield f"seq {message.seq} was answered more than once: {[r.seq for r in own]}"
    for orphan in replies.values():
        yield f"seq {orphan[0].seq} answers a message of another conversation"


def _run(own: Sequence[Message]) -> list[int]:
    return [own[0].seq + n for n in range(len(own))] if own else []


def _kind(message: Message) -> str:
    return str(((message.extra or {}).get("answer") or {}).get("kind", ""))


def _owner_after(message: Message, person: bool) -> bool:
    if "已接入" in message.body:
        return True
    return person and not any(word in message.body for word in ("本次服务", "重新安排"))


def _claimed_next(rest: Sequence[Message]) -> bool:
    """Whether the next thing that was said is that a person has come: the bot was still thinking then."""
    after = next((m for m in rest if m.author != "user"), None)
    return after is not None and after.author == "system" and "已接入" in after.body


def transcript(session: Session, conversation_id: str) -> str:
    """A conversation's log in short, for the message of a failed test."""
    log = session.scalars(
        select(Message).where(Message.conversation_id == conversation_id).order_by(Message.seq)
    )
    return "\n".join(
        f"{m.seq:3} {m.created_at:%H:%M:%S.%f} {m.author:6} {_kind(m):10} "
        f"{'' if m.author != 'user' else m.answered_at and f'{m.answered_at:%H:%M:%S.%f}':15} {m.body[:70]!r}"
        for m in log
    )


def of_cases(session: Session, talks: Iterable[Conversation]) -> list[str]:
    """Promise 7: each number that was shown is one case with the fields that were confirmed, and each case was told."""
    faults = []
    cases = {case.number: case for case in session.scalars(select(Case))}
    by_message: dict[str, list[Case]] = defaultdict(list)
    for case in cases.values():
        by_message[case.confirmed_by_message].append(case)
    told: Counter[str] = Counter()
    for message in session.scalars(select(Message).where(Message.author == "bot")):
        if _kind(message) != "receipt":
            continue
        numbers = ((message.extra or {}).get("card") or {})["receipt"]["numbers"]
        told.update(numbers)
        lodged = sorted(case.number for case in by_message[str(message.reply_to)])
        if sorted(numbers) != lodged:
            faults.append(f"a receipt tells {numbers}, and its message has lodged {lodged}")
    faults += [
        f"{case.conversation_id}: the case {number} was told {told[number]} times"
        for number, case in cases.items()
        if told[number] != 1
    ]
    faults += [f"the number {number} is no case" for number in told if number not in cases]
    for talk in talks:
        faults += _of_talk(session, talk, cases)
    return faults


def _of_talk(session: Session, talk: Conversation, cases: dict[str, Case]) -> Iterable[str]:
    shown = dict(talk.receipts())
    for number in shown:
        if number not in cases or cases[number].conversation_id != talk.id:
            yield f"{talk.id}: was shown {number}, which is no case of it"
    confirmed = {sent: (rows, told) for sent, rows, told in talk.confirmed}
    for number in shown:
        case = cases.get(number)
        if case is None:
            continue
        message = session.get(Message, case.confirmed_by_message)
        key = (message.external_id or "").partition(":")[2] if message else ""
        if key not in confirmed:
            yield f"{talk.id}: {number} was lodged by a message that confirmed nothing"
            continue
        yield from _of_fields(case, *confirmed[key])


def _of_fields(case: Case, rows: Sequence[dict[str, Any]], told: dict[str, str]) -> Iterable[str]:
    confirmed = {row["field"]: row["value"] for row in rows if row["filled"] and row["field"] != "anonymous"}
    stored = {name: display(name, value) for name, value in case.fields.items()}
    if confirmed != stored:
        yield f"{case.conversation_id}: {case.number}: confirmed were {confirmed}, stored is {stored}"
    if not any(told["mark"] in value for value in case.fields.values()):
        yield f"{case.conversation_id}: {case.number}: the number {told['mark']} of the story is not in it"
    for name in ("name", "phone"):
        # The summary shows these masked: what is stored must be what was said.
        if name in case.fields and case.fields[name] != told[name]:
            yield f"{case.conversation_id}: {case.number}: the {name} is not the one that was told"
