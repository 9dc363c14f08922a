"""Promises 5 and 6: one owner, and a bot that is silent while a person speaks."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.conversations import log, ownership
from bot.conversations.models import Conversation, HandOver
from bot.errors import HotlineError, Problem
from bot.staff.models import Staff
from tests.harness import ready


def colleague(hotline, username, name="王芳"):
    with hotline.sessions.begin() as session:
        staff = Staff(
            id=str(uuid.uuid4()),
            username=username,
            name=name,
            role="agent",
            password_hash="!",
            created_at=hotline.clock(),
        )
        session.add(staff)
    return staff


def owned(hotline, conversation_id):
    with hotline.readers() as session:
        return session.get_one(Conversation, conversation_id)


def act(hotline, work, *args, **kwargs):
    with hotline.sessions.begin() as session:
        return work(session, *args, now=hotline.clock(), **kwargs)


@pytest.fixture
def wang(hotline):
    return colleague(hotline, "wang")


@pytest.fixture
def li(hotline):
    return colleague(hotline, "li", "李明")


async def waiting(hotline):
    """A citizen who asked for a person."""
    talk = await hotline.open()
    hotline.engine.script["人工"] = [{"compose": "handoff"}]
    await talk.say("人工")
    return talk


def refused(problem, work, *args, **kwargs):
    with pytest.raises(HotlineError) as caught:
        work(*args, **kwargs)
    assert caught.value.problem is problem


async def test_twenty_claims_at_once_have_one_winner(hotline):
    talk = await waiting(hotline)
    people = [colleague(hotline, f"agent{n}") for n in range(20)]

    def claim(staff):
        try:
            act(hotline, ownership.claim, talk.id, staff)
            return "won"
        except HotlineError as error:
            return error.problem

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(claim, people))
    assert outcomes.count("won") == 1
    assert outcomes.count(Problem.TAKEN) == 19
    winner = people[outcomes.index("won")]
    assert owned(hotline, talk.id).owner_id == winner.id
    with hotline.readers() as session:
        [hand_over] = session.scalars(select(HandOver))
        assert (hand_over.state, hand_over.claimed_by) == ("claimed", winner.id)
    assert [m["text"] for m in await talk.log() if m["author"] == "system"] == [
        "值班员王芳已接入。前面说的已经转过来了，您可以直接接着说。"
    ]


async def test_claiming_ones_own_again_is_harmless(hotline, wang):
    talk = await waiting(hotline)
    act(hotline, ownership.claim, talk.id, wang)
    before = len(await talk.log())
    act(hotline, ownership.claim, talk.id, wang)
    assert len(await talk.log()) == before


def test_nobody_claims_what_does_not_exist(hotline, wang):
    refused(Problem.UNKNOWN_CONVERSATION, act, hotline, ownership.claim, "nowhere", wang)


async def test_the_bot_is_silent_over_a_restart_and_two_hours(hotline, wang):
    talk = await waiting(hotline)
    act(hotline, ownership.claim, talk.id, wang)
    asked = len(hotline.engine.calls)
    for _ in range(2):
        response = await talk.send("电梯维保能延长吗")
        assert (response.status_code, response.json()["replies"]) == (202, [])
        hotline.clock.advance(hours=2)
        hotline.restart()
        talk = await hotline.reopened(talk)
    assert len(hotline.engine.calls) == asked
    assert [m["author"] for m in await talk.log()][-2:] == ["user", "user"]


async def test_danger_is_answered_even_while_a_person_owns_the_conversation(hotline, wang):
    talk = await waiting(hotline)
    act(hotline, ownership.claim, talk.id, wang)
    replies = await talk.say("救命 着火了 我们被困在厂房里")
    assert replies[0]["answer"]["kind"] == "emergency"


async def test_a_bot_that_was_thinking_when_the_person_came_says_nothing(hotline, wang):
    talk = await waiting(hotline)

    async def slow(call):
        act(hotline, ownership.claim, talk.id, wang)
        return [ready("机器人的回答")]

    hotline.engine.script["在吗"] = slow
    response = await talk.send("在吗")
    assert (response.status_code, response.json()["replies"]) == (202, [])
    assert "机器人的回答" not in [m["text"] for m in await talk.log()]


async def test_but_a_receipt_that_it_was_fetching_is_never_lost(hotline, wang):
    talk = await waiting(hotline)

    async def slow(call):
        act(hotline, ownership.claim, talk.id, wang)
        return [ready("已登记。", "receipt", case="JL-T-261122-00001-4")]

    hotline.engine.script["确认提交"] = slow
    assert [r["text"] for r in await talk.say("确认提交")] == ["已登记。"]


async def test_words_of_staff_reach_the_citizen_once_and_in_order(hotline, wang):
    talk = await waiting(hotline)
    act(hotline, ownership.claim, talk.id, wang)
    last = (await talk.log())[-1]["seq"]
    for _ in range(3):
        act(hotline, ownership.say, talk.id, wang, "您好，我是小王。", client_message_id="m1m1m1m1")
    act(hotline, ownership.say, talk.id, wang, "您请讲。", client_message_id="m2m2m2m2")
    assert [(m["author"], m["name"], m["text"]) for m in await talk.log(after=last)] == [
        ("staff", "王芳", "您好，我是小王。"),
        ("staff", "王芳", "您请讲。"),
    ]


async def test_only_the_owner_speaks_and_lets_go(hotline, wang, li):
    talk = await waiting(hotline)
    act(hotline, ownership.claim, talk.id, wang)
    before = await talk.log()
    refused(
        Problem.NOT_YOURS, act, hotline, ownership.say, talk.id, li, "我来说", client_message_id="m1m1m1m1"
    )
    for work in (ownership.release, ownership.close):
        refused(Problem.NOT_YOURS, act, hotline, work, talk.id, li)
    refused(Problem.NOT_YOURS, act, hotline, ownership.transfer, talk.id, li, li)
    assert await talk.log() == before


async def test_given_back_the_bot_answers_again(hotline, wang):
    talk = await waiting(hotline)
    act(hotline, ownership.claim, talk.id, wang)
    act(hotline, ownership.release, talk.id, wang)
    assert [r["text"] for r in await talk.say("你好")] == ["收到：你好"]
    with hotline.readers() as session:
        assert ownership.waiting(session) == []


async def test_back_in_the_queue_the_first_wait_counts(hotline, wang):
    first = await waiting(hotline)
    act(hotline, ownership.claim, first.id, wang)
    hotline.clock.advance(minutes=5)
    second = await waiting(hotline)
    act(hotline, ownership.release, first.id, wang, to="queue")
    with hotline.readers() as session:
        assert [w.conversation_id for w in ownership.waiting(session)] == [first.id, second.id]
        assert ownership.place(session, second.id, now=hotline.clock()).place == 2
    assert owned(hotline, first.id).owner == "bot"


async def test_a_transferred_conversation_has_its_new_owner_at_once(hotline, wang, li):
    talk = await waiting(hotline)
    act(hotline, ownership.claim, talk.id, wang)
    act(hotline, ownership.transfer, talk.id, wang, li)
    act(hotline, ownership.say, talk.id, li, "我是李明。", client_message_id="m1m1m1m1")
    refused(
        Problem.NOT_YOURS, act, hotline, ownership.say, talk.id, wang, "还有", client_message_id="m2m2m2m2"
    )
    assert (await talk.log())[-1]["name"] == "李明"


async def test_nothing_is_transferred_to_a_closed_account(hotline, wang, li):
    talk = await waiting(hotline)
    act(hotline, ownership.claim, talk.id, wang)
    li.active = False
    refused(Problem.UNKNOWN_STAFF, act, hotline, ownership.transfer, talk.id, wang, li)


async def test_a_closed_conversation_asks_for_a_rating_and_goes_on_with_the_bot(hotline, wang):
    talk = await waiting(hotline)
    act(hotline, ownership.claim, talk.id, wang)
    act(hotline, ownership.close, talk.id, wang)
    last = (await talk.log())[-1]
    assert (last["author"], last["card"]) == ("system", {"rating": True})
    assert owned(hotline, talk.id).closed_at == hotline.clock()
    assert (await talk.say("你好"))[0]["text"] == "收到：你好"


async def test_emergencies_stand_before_who_came_earlier(hotline):
    calm = await waiting(hotline)
    hotline.clock.advance(minutes=1)
    urgent = await hotline.open()
    await urgent.say("救命 着火了 我们被困在厂房里")
    with hotline.readers() as session:
        assert [w.conversation_id for w in ownership.waiting(session)] == [urgent.id, calm.id]
        assert ownership.place(session, calm.id, now=hotline.clock()).place == 2


async def test_the_wait_is_told_only_when_enough_claims_say_how_long_it_takes(hotline, wang):
    for n in range(3):
        talk = await waiting(hotline)
        with hotline.readers() as session:
            place = ownership.place(session, talk.id, now=hotline.clock())
        assert place == ownership.Place(1, None), n
        hotline.clock.advance(minutes=4)
        act(hotline, ownership.claim, talk.id, wang)
    talk = await waiting(hotline)
    with hotline.readers() as session:
        assert ownership.place(session, talk.id, now=hotline.clock()) == ownership.Place(1, 4)
        assert (
            ownership.place(session, talk.id, now=hotline.clock() + timedelta(hours=5)).wait_minutes is None
        )


async def test_the_citizen_sees_owner_queue_and_typing(hotline, wang):
    talk = await hotline.open()
    hotline.engine.script["人工"] = [{"compose": "handoff"}]
    async with hotline.served() as client:
        streamed = type(talk)(
            client, {"conversation_id": talk.id, "token": talk.token, "messages": [talk.greeting]}
        )
        seen = asyncio.create_task(streamed.events(1, 3, ("owner",)))
        await asyncio.sleep(1)
        await talk.say("人工")
        await asyncio.sleep(1)
        act(hotline, ownership.claim, talk.id, wang)
        assert [e["data"] for e in await asyncio.wait_for(seen, 20)] == [
            {"owner": "bot", "name": None, "queue": None},
            {"owner": "bot", "name": None, "queue": {"place": 1, "wait_minutes": None}},
            {"owner": "person", "name": "王芳", "queue": None},
        ]
        seen = asyncio.create_task(streamed.events(1, 1, ("typing",)))
        await asyncio.sleep(0.3)
        hotline.clock.advance(seconds=1)
        act(hotline, ownership.typing, talk.id, wang)
        assert [e["data"] for e in await asyncio.wait_for(seen, 20)] == [{"author": "staff"}]


async def test_typing_ends_with_the_message(hotline, wang):
    talk = await waiting(hotline)
    act(hotline, ownership.claim, talk.id, wang)
    hotline.clock.advance(seconds=1)
    act(hotline, ownership.typing, talk.id, wang)
    with hotline.readers() as session:
        conversation = session.get_one(Conversation, talk.id)
        assert ownership.is_typing(session, conversation, now=hotline.clock())
        assert not ownership.is_typing(session, conversation, now=hotline.clock() + timedelta(seconds=30))
    act(hotline, ownership.say, talk.id, wang, "好", client_message_id="m1m1m1m1")
    with hotline.readers() as session:
        conversation = session.get_one(Conversation, talk.id)
        assert not ownership.is_typing(session, conversation, now=hotline.clock())


async def test_numbers_of_identity_cards_are_masked_at_once_and_a_person_is_called(hotline):
    talk = await hotline.open()
    replies = await talk.say("我的身份证是11010519491231002X")
    assert "已遮盖" in replies[0]["text"] and replies[0]["answer"]["kind"] == "handoff"
    with hotline.readers() as session:
        [w] = ownership.waiting(session)
        assert w.reason == "发来证件号或银行卡号"
        assert all("19491231" not in m.body for m in log.after(session, talk.id, 0))
    assert "19491231" not in str(hotline.engine.calls)
