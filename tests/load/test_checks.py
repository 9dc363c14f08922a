"""The checks find what is wrong: each test plants one fault into a conversation that was well."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from bot.cases import store
from bot.cases.models import Case, CaseType
from bot.conversations import log
from bot.conversations.models import Conversation as Stored
from bot.conversations.models import Message
from bot.conversations.receipt import receipt_payload
from tests.load import checks
from tests.load.citizens import Conversation, Sent

FIELDS = {
    "respondent": "鑫源果品店",
    "respondent_address": "宽城区北人民大街",
    "facts": "苹果坏了一半，小票号A123456",
    "request": "退货退款",
    "name": "李玉梅",
    "phone": "13904321187",
}
TOLD = FIELDS | {"mark": "A123456"}


@pytest.fixture
async def talk(hotline):
    """A citizen's conversation of two turns, the second of which lodges a case, as the citizen knows it."""

    async def lodges(call):
        with hotline.sessions.begin() as session:
            draft = store.open_draft(session, call.conversation_id, now=hotline.clock())
            lodged = store.submit(
                session, draft, parts=[store.Part(CaseType.COMPLAINT, FIELDS)], message_id=call.message_id,
                channel="widget", now=hotline.clock(),
            )  # fmt: skip
            return [receipt_payload(session, lodged)]

    hotline.engine.script["确认提交"] = lodges
    opened = await hotline.open()
    known = Conversation(opened.id, opened.token)
    for text in ("你好", "确认提交"):
        sent = Sent(uuid.uuid4().hex, text, 0.0)
        response = await opened.send(text, sent.id)
        sent.body, sent.status = response.json(), response.status_code
        known.sent.append(sent)
    rows = [{"field": k, "value": checks.display(k, v), "filled": True} for k, v in FIELDS.items()]
    known.confirmed.append((known.sent[-1].id, rows, TOLD))
    known.messages = {m["seq"]: m for m in await opened.log()}
    return known


def found(hotline, *talks):
    with hotline.readers() as session:
        return [*checks.of_answers(session), *checks.of_cases(session, talks)]


def change(hotline, *statements):
    with hotline.sessions.begin() as session:
        for statement in statements:
            session.execute(statement)


def of_seq(talk, seq):
    return (Message.conversation_id == talk.id) & (Message.seq == seq)


def test_a_conversation_that_is_well(hotline, talk):
    assert found(hotline, talk) == []
    assert checks.of_log(talk, talk.log) == checks.of_responses(talk) == []
    assert len(list(talk.receipts())) == 1


def test_a_gap(hotline, talk):
    change(hotline, delete(Message).where(of_seq(talk, 3)))
    assert "seqs [1, 2, 4, 5]" in found(hotline, talk)[0]
    assert "seqs are [1, 2, 4, 5]" in checks.of_log(talk, [m for m in talk.log if m["seq"] != 3])[0]


def test_a_log_that_the_citizen_has_not_seen(talk):
    server = talk.log
    del talk.messages[3]
    [fault] = checks.of_log(talk, server)
    assert "only one side has [3]" in fault


def test_a_message_that_was_lost_and_one_that_nobody_sent(talk):
    server = [dict(m) for m in talk.log]
    server[1]["client_message_id"] = "stranger"
    faults = "\n".join(checks.of_log(talk, server))
    assert f"the message {talk.sent[0].id} is not in the log exactly once" in faults
    assert "messages that nobody sent: ['stranger']" in faults


def test_a_response_that_is_not_what_the_log_says(talk):
    talk.sent[0].body["replies"] = []
    assert "got 200 without a reply" in checks.of_responses(talk)[0]
    talk.sent[1].body["replies"][0]["text"] = "别的话"
    assert any("differs from the log" in fault for fault in checks.of_responses(talk))


def test_a_message_that_nobody_finished(hotline, talk):
    change(hotline, update(Message).where(of_seq(talk, 2)).values(answered_at=None))
    assert "seq 2 was accepted and never finished" in found(hotline, talk)[0]


def test_silence(hotline, talk):
    change(hotline, update(Message).where(of_seq(talk, 3)).values(reply_to=None))
    assert "seq 2 was answered with silence" in found(hotline, talk)[0]


def test_two_answers(hotline, talk):
    with hotline.sessions.begin() as session:
        first = session.scalar(checks.select(Message).where(of_seq(talk, 2)))
        conversation = session.get_one(Stored, talk.id)
        later = hotline.clock() + timedelta(seconds=1)
        log.append(session, conversation, "bot", log.Reply("再答一次", {"kind": "chitchat"}), later, first)
    assert any("seq 2 was answered more than once: [3, 6]" in fault for fault in found(hotline, talk))


def test_a_bot_that_speaks_while_a_person_does(hotline, talk):
    with hotline.sessions.begin() as session:
        conversation = session.get_one(Stored, talk.id)
        for author, kind, text in (("system", "", "值班员王芳已接入。"), ("bot", "chitchat", "还有我呢")):
            log.append(session, conversation, author, log.Reply(text, {"kind": kind}), hotline.clock())
    assert any("the bot said seq 7" in fault for fault in found(hotline, talk))


def test_a_case_that_was_not_told(hotline, talk):
    change(hotline, update(Message).where(of_seq(talk, 5)).values(extra={"answer": {"kind": "chitchat"}}))
    assert any("was told 0 times" in fault for fault in found(hotline))


def test_a_number_that_is_no_case(hotline, talk):
    number = next(talk.receipts())[0]
    with hotline.sessions.begin() as session:
        session.execute(update(Case).values(conversation_id="elsewhere"))
    assert f"{talk.id}: was shown {number}, which is no case of it" in found(hotline, talk)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("request", "换一个", "confirmed were"),
        ("phone", "13911111187", "the phone is not the one that was told"),
        ("facts", "苹果坏了一半", "the number A123456 of the story is not in it"),
    ],
)
def test_a_field_that_was_not_confirmed(hotline, talk, name, value, says):
    change(hotline, update(Case).values(fields=FIELDS | {name: value}))
    assert any(says in fault for fault in found(hotline, talk))


def test_a_case_that_nobody_confirmed(hotline, talk):
    talk.confirmed.clear()
    [fault] = found(hotline, talk)
    assert "was lodged by a message that confirmed nothing" in fault
