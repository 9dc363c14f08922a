"""Turns beyond one request: left by a dead process, owned by a person, queued for one."""

import asyncio
import uuid

import pytest
from sqlalchemy import select, update
from sqlalchemy import text as sql

from bot.conversations import log, turns
from bot.conversations.engine import Decision
from bot.conversations.models import Conversation, HandOver
from tests.harness import ready


def leave(hotline, talk, *texts):
    """What a process leaves that dies right after it has stored messages."""
    for text in texts:
        hotline.clock.advance(seconds=1)
        with hotline.sessions.begin() as session:
            inbound = log.InboundMessage(talk.id, "widget", f"{talk.id}:{uuid.uuid4()}", text)
            log.accept(session, inbound, hotline.clock())


async def until(condition, patience=30.0):
    async with asyncio.timeout(patience):
        while not await condition():
            await asyncio.sleep(0.02)


async def said(talk):
    return [(m["author"], m["text"]) for m in await talk.log(after=1)]


# -- promise 3: what an earlier process left --------------------------------------------------------


async def test_messages_of_a_dead_process_are_answered_at_start_in_order_and_once(hotline):
    one, two = await hotline.open(), await hotline.open()
    leave(hotline, one, "一", "二")
    leave(hotline, two, "三")
    hotline.restart()
    one, two = await hotline.reopened(one), await hotline.reopened(two)
    async with hotline.served():

        async def answered():
            return len(await one.log()) == 5 and len(await two.log()) == 3

        await until(answered)
    assert await said(one) == [("user", "一"), ("user", "二"), ("bot", "收到：一"), ("bot", "收到：二")]
    assert hotline.engine.texts == ["一", "二", "三"]
    assert await hotline.turns.resume() == 0


async def test_they_wait_for_an_engine_that_is_still_starting(hotline):
    talk = await hotline.open()
    leave(hotline, talk, "一")
    hotline.engine.up = False
    async with hotline.served():
        await asyncio.sleep(0.3)
        assert hotline.engine.calls == []
        hotline.engine.up = True

        async def answered():
            return len(await talk.log()) == 3

        await until(answered)
    assert (await said(talk))[-1] == ("bot", "收到：一")


async def test_but_not_for_ever(hotline, monkeypatch):
    monkeypatch.setattr(turns, "WAIT_FOR_ENGINE", 0.1)
    talk = await hotline.open()
    leave(hotline, talk, "一")
    hotline.engine.up = False
    async with hotline.served():

        async def answered():
            return len(await talk.log()) == 3

        await until(answered)


async def test_one_conversations_trouble_does_not_keep_the_others_waiting(hotline, logged):
    one, two = await hotline.open(), await hotline.open()
    leave(hotline, one, "一")
    leave(hotline, two, "二")
    with hotline.sessions.begin() as session:
        session.execute(
            sql("UPDATE messages SET body = 'x' WHERE conversation_id = :id AND author = 'user'"),
            {"id": one.id},
        )
    assert await hotline.turns.resume() == 2
    assert (await said(two))[-1] == ("bot", "收到：二")
    assert "resume_failed" in [entry["event"] for entry in logged]


async def test_replies_that_could_not_be_stored_are_tried_again(hotline, monkeypatch):
    monkeypatch.setattr(turns, "SWEEP_SECONDS", 0.05)
    talk = await hotline.open()
    async with hotline.served():
        await asyncio.sleep(0.1)
        leave(hotline, talk, "一")
        await asyncio.sleep(0.2)
        # It may be in another process's hands yet.
        assert hotline.engine.calls == []
        hotline.clock.advance(seconds=31)

        async def answered():
            return len(await talk.log()) == 3

        await until(answered)
    assert hotline.engine.texts == ["一"]


async def test_two_processes_on_one_message_answer_it_once(make_hotline):
    one, two = make_hotline(), make_hotline()
    talk = await one.open()
    leave(one, talk, "一")
    together = asyncio.Barrier(2)

    async def both(call):
        await together.wait()
        return [ready("人工来了", hand_over="要求人工")]

    one.engine.script["一"] = two.engine.script["一"] = both
    await asyncio.gather(one.turns.run(talk.id), two.turns.run(talk.id))
    assert [m["author"] for m in await talk.log()] == ["bot", "user", "bot", "bot"]
    with one.readers() as session:
        assert len(session.scalars(select(HandOver)).all()) == 1


async def test_a_caller_who_hangs_up_does_not_cancel_the_turn(hotline):
    talk = await hotline.open()
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(call):
        begun.set()
        await release.wait()
        return [ready("好了")]

    hotline.engine.script["等"] = slow
    request = asyncio.create_task(talk.send("等"))
    await begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    release.set()

    async def answered():
        return len(await talk.log()) == 3

    await until(answered)
    assert (await said(talk))[-1] == ("bot", "好了")


# -- promise 5: a person owns the conversation ------------------------------------------------------


async def test_the_bot_is_silent_while_a_person_owns_the_conversation(hotline):
    talk = await hotline.open()
    with hotline.sessions.begin() as session:
        conversation = session.get_one(Conversation, talk.id)
        conversation.owner, conversation.owner_name = "person", "小王"
    first = await talk.send("在吗", message_id="message-1")
    assert (first.status_code, first.json()["replies"]) == (202, [])
    assert first.json()["message"]["seq"] == 2
    hotline.clock.advance(hours=2)
    hotline.restart()
    talk = await hotline.reopened(talk)
    async with hotline.served():
        await asyncio.sleep(0.1)
    again = await talk.send("在吗", message_id="message-1")
    assert (again.status_code, again.json()) == (202, first.json())
    assert (await talk.send("人工")).status_code == 202
    assert hotline.engine.calls == []
    assert await said(talk) == [("user", "在吗"), ("user", "人工")]


async def test_given_back_the_bot_answers_what_comes_next_only(hotline):
    talk = await hotline.open()
    for owner, text in (("person", "一"), ("bot", "二")):
        with hotline.sessions.begin() as session:
            session.get_one(Conversation, talk.id).owner = owner
        await talk.send(text)
    assert await said(talk) == [("user", "一"), ("user", "二"), ("bot", "收到：二")]


async def test_a_message_that_arrives_after_the_take_over_began_is_left_to_the_person(hotline):
    talk = await hotline.open()
    leave(hotline, talk, "一")
    with hotline.sessions.begin() as session:
        session.get_one(Conversation, talk.id).owner = "person"
    await hotline.turns.run(talk.id)
    assert await said(talk) == [("user", "一")]
    assert await hotline.turns.resume() == 0


# -- the queue --------------------------------------------------------------------------------------


async def test_the_queue_tells_everybodys_place_and_urgent_ones_come_first(hotline):
    hotline.engine.script["人工"] = [{"compose": "handoff"}]
    talks = [await hotline.open() for _ in range(4)]

    async def ask(talk, text="人工"):
        hotline.clock.advance(seconds=1)
        return (await talk.say(text))[-1]["text"]

    assert "第一位" in await ask(talks[0])
    assert "前面还有1位" in await ask(talks[1])
    await ask(talks[3], "着火了")
    assert "前面还有3位" in await ask(talks[2])
    # Asking again keeps the place; the urgent one stands before all.
    assert "前面还有1位" in await ask(talks[0])
    assert "第一位" in await ask(talks[3])
    with hotline.readers() as session:
        queue = session.scalars(select(HandOver).order_by(HandOver.created_at)).all()
    assert [h.conversation_id for h in queue] == [talks[0].id, talks[1].id, talks[3].id, talks[2].id]


async def test_danger_makes_a_waiting_hand_over_urgent(hotline):
    hotline.engine.script["人工"] = [{"compose": "handoff"}]
    talk, other = await hotline.open(), await hotline.open()
    await other.say("人工")
    hotline.clock.advance(seconds=1)
    await talk.say("人工")
    await talk.say("着火了")
    with hotline.readers() as session:
        waiting = {h.conversation_id: (h.urgent, h.reason) for h in session.scalars(select(HandOver))}
    assert waiting == {other.id: (False, "要求人工"), talk.id: (True, "险情：fire")}


async def test_a_claimed_hand_over_is_no_more_in_the_queue(hotline):
    hotline.engine.script["人工"] = [{"compose": "handoff"}]
    one, two = await hotline.open(), await hotline.open()
    await one.say("人工")
    with hotline.sessions.begin() as session:
        session.execute(update(HandOver).values(state="claimed", claimed_at=hotline.clock()))
    hotline.clock.advance(seconds=1)
    assert "第一位" in (await two.say("人工"))[-1]["text"]


async def test_the_third_miss_in_a_row_queues_by_itself(hotline):
    hotline.engine.script = {text: [{"compose": "unclear"}] for text in "甲乙丙"}
    talk = await hotline.open()
    for text in "甲乙":
        assert [r["answer"]["kind"] for r in await talk.say(text)] == ["fallback"]
    assert [r["answer"]["kind"] for r in await talk.say("丙")] == ["fallback", "handoff"]


# -- what the engine is told ------------------------------------------------------------------------


async def test_the_engine_gets_the_conversations_state(hotline):
    hotline.engine.script["电梯"] = Decision([{"compose": "policy"}], {"measures": [9], "facet": "cost"}, [])
    talk = await hotline.open()
    await talk.say("电梯")
    hotline.restart()
    talk = await hotline.reopened(talk)
    await talk.say("那要交钱吗")
    context = hotline.engine.calls[-1].context
    assert (context["focus"], context["last_kind"], context["intake"], context["asked"]) == (
        [9],
        "policy",
        "",
        "",
    )


async def test_what_was_left_is_answered_before_what_arrives(hotline):
    talk = await hotline.open()
    leave(hotline, talk, "一")
    await talk.say("二")
    assert await said(talk) == [("user", "一"), ("user", "二"), ("bot", "收到：一"), ("bot", "收到：二")]


async def test_a_message_that_arrives_in_a_turn_knows_what_the_turn_changed(hotline):
    talk = await hotline.open()
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(call):
        begun.set()
        await release.wait()
        return Decision([{"compose": "policy"}], {"measures": [9], "facet": "cost"}, [])

    hotline.engine.script["电梯"] = slow
    first = asyncio.create_task(talk.say("电梯"))
    await begun.wait()
    second = asyncio.create_task(talk.say("那要交钱吗"))

    async def stored():
        return len(await talk.log()) == 3

    await until(stored)
    release.set()
    await asyncio.gather(first, second)
    assert [call.text for call in hotline.engine.calls] == ["电梯", "那要交钱吗"]
    assert hotline.engine.calls[-1].context["focus"] == [9]


async def test_an_unknown_conversation_is_said_to_be_unknown(hotline):
    response = await hotline.http.post(
        "/api/v1/conversations/x/messages", json={"client_message_id": "message-1", "text": "你好"},
        headers={"Authorization": "Bearer x"},
    )  # fmt: skip
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_conversation")


async def test_a_forged_token_does_not_stand_in_the_writers_queue(hotline):
    talk = await hotline.open()
    with hotline.sessions.begin() as session:
        session.execute(sql("SELECT 1"))  # Somebody writes, and for longer than anybody waits.
        response = await hotline.http.post(
            f"{talk.path}/messages", json={"client_message_id": "message-1", "text": "你好"},
            headers={"Authorization": f"Bearer {talk.token[:-1]}{'0' if talk.token[-1] != '0' else '1'}"},
        )  # fmt: skip
    assert response.status_code == 401


async def test_a_long_log_is_not_read_to_find_what_waits(hotline):
    query = str(log._UNANSWERED.compile(hotline.sessions.kw["bind"]))
    with hotline.readers() as session:
        if session.get_bind().dialect.name != "sqlite":
            return
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", ("a", 0)).all()
    assert "ix_messages_unanswered" in str(plan)
