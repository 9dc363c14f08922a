"""Sending through the public API: stored before it is accepted, once, in order, within limits."""

import asyncio
import sqlite3
import uuid

import pytest
from sqlalchemy import func, select

from bot.conversations.engine import Decision, EngineFailed
from bot.conversations.models import HandOver
from bot.errors import Problem
from tests.harness import ready


def refused(response, problem):
    """The contract's error, with nothing of ours left out."""
    assert response.status_code == problem.status, response.text
    request_id = response.headers["x-request-id"]
    assert response.json() == {
        "error": {"code": problem.code, "message": problem.message, "request_id": request_id}
    }
    return response


def hold(hotline):
    """Another process that holds SQLite's write lock."""
    other = sqlite3.connect(hotline.config.home_dir / "hotline.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


async def test_opening_greets_as_a_bot_and_names_what_it_can_do(hotline):
    talk = await hotline.open()
    greeting = talk.greeting
    assert "机器人" in greeting["text"]
    assert all(word in greeting["text"] for word in ("16条措施", "投诉", "举报", "人工", "110"))
    assert (greeting["seq"], greeting["author"], greeting["answer"]["kind"]) == (1, "bot", "chitchat")
    assert [c["label"] for c in greeting["choices"]][-1] == "转人工"
    assert await talk.log() == [greeting]


async def test_a_message_is_answered_in_the_contracts_format(hotline):
    talk = await hotline.open()
    response = await talk.send("你好", message_id="0f8fad5b-d9cb-469f-a165-70867728950e")
    assert response.status_code == 200
    body = response.json()
    assert body["message"] == {
        "seq": 2,
        "author": "user",
        "text": "你好",
        "created_at": "2026-11-22T15:04:00+08:00",
        "choices": [],
        "client_message_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    }
    [reply] = body["replies"]
    assert reply["seq"] == 3
    assert reply["author"] == "bot"
    assert reply["answer"] == {
        "kind": "chitchat",
        "measures": [],
        "facets": [],
        "specified": True,
        "citations": [],
        "validity": None,
        "case": None,
        "options": [],
    }
    assert await talk.log(after=1) == [body["message"], reply]


# -- promise 1: accepted means stored ---------------------------------------------------------------


async def test_a_locked_database_refuses_and_nothing_is_stored(make_hotline):
    hotline = make_hotline(busy_timeout=0.1)
    talk = await hotline.open()
    other = hold(hotline)
    response = refused(await talk.send("你好", message_id="message-1"), Problem.NOT_STORED)
    assert int(response.headers["retry-after"]) > 0
    opening = await hotline.http.post("/api/v1/conversations", json={"channel": "widget"})
    assert int(refused(opening, Problem.NOT_STORED).headers["retry-after"]) > 0
    assert hotline.engine.calls == []
    other.execute("ROLLBACK")
    other.close()
    assert [m["seq"] for m in await talk.log()] == [1]
    assert (await talk.send("你好", message_id="message-1")).status_code == 200
    assert [m["seq"] for m in await talk.log()] == [1, 2, 3]


async def test_a_database_that_is_gone_refuses_every_call(make_hotline):
    hotline = make_hotline(busy_timeout=0.1)
    talk = await hotline.open()
    hotline.close()
    home = hotline.config.home_dir
    home.rename(home.with_name("elsewhere"))
    for response in (
        await talk.send("你好"),
        await hotline.http.get(f"{talk.path}/messages", headers=talk.headers),
        await hotline.http.post("/api/v1/conversations", json={}),
    ):
        assert int(refused(response, Problem.NOT_STORED).headers["retry-after"]) > 0
    ready_ = await hotline.http.get("/readyz")
    assert (ready_.status_code, ready_.json()) == (503, {"database": False, "engine": True})
    home.with_name("elsewhere").rename(home)
    assert [m["seq"] for m in await talk.log()] == [1]


async def test_replies_that_cannot_be_stored_are_refused_and_the_same_delivery_gets_them_later(make_hotline):
    hotline = make_hotline(busy_timeout=0.1)
    talk = await hotline.open()
    held = []

    async def lock_then_answer(call):
        held.append(hold(hotline))
        return [ready("两条"), ready("回复")]

    hotline.engine.script["你好"] = lock_then_answer
    refused(await talk.send("你好", message_id="message-1"), Problem.NOT_STORED)
    held.pop().close()
    assert [m["author"] for m in await talk.log()] == ["bot", "user"]
    hotline.engine.script["你好"] = [ready("两条"), ready("回复")]
    again = await talk.send("你好", message_id="message-1")
    assert [r["text"] for r in again.json()["replies"]] == ["两条", "回复"]
    assert [(m["seq"], m["author"]) for m in await talk.log()] == [
        (1, "bot"),
        (2, "user"),
        (3, "bot"),
        (4, "bot"),
    ]


# -- promise 2: once --------------------------------------------------------------------------------


async def test_the_same_delivery_three_times_is_one_turn(hotline):
    talk = await hotline.open()
    bodies = [(await talk.send("你好", message_id="message-1")).json() for _ in range(3)]
    assert bodies[0]["replies"]
    assert bodies[0] == bodies[1] == bodies[2]
    assert hotline.engine.texts == ["你好"]
    assert len(await talk.log()) == 3


async def test_the_same_delivery_at_once_is_one_turn(hotline):
    talk = await hotline.open()

    async def slow(call):
        await asyncio.sleep(0.1)
        return [ready("慢慢来")]

    hotline.engine.script["你好"] = slow
    responses = await asyncio.gather(*(talk.send("你好", message_id="message-1") for _ in range(8)))
    assert {r.status_code for r in responses} == {200}
    assert all(r.json() == responses[0].json() for r in responses)
    assert hotline.engine.texts == ["你好"]


async def test_a_repeated_delivery_after_a_restart_gets_the_first_answer(hotline):
    talk = await hotline.open()
    first = (await talk.send("你好", message_id="message-1")).json()
    hotline.restart()
    talk = await hotline.reopened(talk)
    assert (await talk.send("别的话", message_id="message-1")).json() == first
    assert hotline.engine.texts == ["你好"]


async def test_a_repeated_button_gets_the_first_answer_although_it_is_void_by_now(hotline):
    talk = await hotline.open()
    choice = talk.greeting["choices"][1]["id"]
    hotline.engine.script["我要投诉"] = [ready("哪一家？", "complaint", choices=["说不清，跳过"])]
    first = await talk.send(choice=choice, message_id="message-1")
    again = await talk.send(choice=choice, message_id="message-1")
    assert (again.status_code, again.json()) == (200, first.json())


async def test_the_same_client_id_in_two_conversations_is_two_messages(hotline):
    one, two = await hotline.open(), await hotline.open()
    await one.send("甲", message_id="message-1")
    response = await two.send("乙", message_id="message-1")
    assert response.json()["replies"][0]["text"] == "收到：乙"


# -- promise 3: always an answer --------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        EngineFailed("ReadTimeout"),
        [],
        [{"compose": "no such kind"}],
        [{"compose": "ready"}],
        [None],
        RuntimeError("a mistake in the program"),
    ],
    ids=["fails", "silent", "unknown kind", "incomplete", "not a payload", "broken"],
)
async def test_whatever_happens_to_the_engine_there_is_an_answer_and_a_person(hotline, step):
    talk = await hotline.open()
    hotline.engine.script["电梯维保能延长吗"] = step
    replies = await talk.say("电梯维保能延长吗")
    assert replies[0]["answer"]["kind"] == "handoff"
    assert "已转给值班人员" in replies[0]["text"]
    with hotline.readers() as session:
        [waiting] = session.scalars(select(HandOver))
    assert (waiting.conversation_id, waiting.reason, waiting.state) == (talk.id, "系统故障", "waiting")
    # The conversation goes on.
    assert (await talk.say("你好"))[0]["text"] == "收到：你好"


async def test_a_second_failure_does_not_queue_twice(hotline):
    talk = await hotline.open()
    hotline.engine.script["坏"] = EngineFailed("down")
    await talk.say("坏")
    await talk.say("坏")
    with hotline.readers() as session:
        assert session.scalar(select(func.count()).select_from(HandOver)) == 1


# -- order ------------------------------------------------------------------------------------------


async def test_thirty_parallel_sends_leave_no_gap_and_one_turn_each(hotline):
    talk = await hotline.open()
    running, most = 0, 0

    async def watched(call):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return [ready(f"收到：{call.text}")]

    texts = [f"第{n}句" for n in range(30)]
    hotline.engine.script = dict.fromkeys(texts, watched)
    responses = await asyncio.gather(*(talk.send(text) for text in texts))
    for text, response in zip(texts, responses, strict=True):
        assert [r["text"] for r in response.json()["replies"]] == [f"收到：{text}"]
    log = await talk.log()
    assert [m["seq"] for m in log] == list(range(1, 62))
    assert most == 1
    # Answered in the order in which they were stored.
    assert hotline.engine.texts == [m["text"] for m in log if m["author"] == "user"]


async def test_conversations_do_not_wait_for_each_other(hotline):
    one, two = await hotline.open(), await hotline.open()
    release = asyncio.Event()

    async def held(call):
        await release.wait()
        return [ready("好了")]

    hotline.engine.script["等"] = held
    waiting = asyncio.create_task(one.send("等"))
    assert (await two.say("你好"))[0]["text"] == "收到：你好"
    release.set()
    assert (await waiting).json()["replies"][0]["text"] == "好了"


# -- what is sent -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "/intent",
        "/restart",
        '/policy{"measure": 4}',
        "／restart",
        "<script>alert(1)</script>",
        "'; DROP TABLE messages; --",
    ],
)
async def test_commands_markup_and_sql_are_only_words(hotline, text):
    talk = await hotline.open()
    assert (await talk.say(text))[0]["text"] == f"收到：{text}"
    assert hotline.engine.texts == [text]
    assert (await talk.log())[1]["text"] == text


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("  你好\n", "你好"),
        ("a\x00b", "ab"),
        ("你\ud800好", "你好"),
        ("\u200b", "\u200b"),
        ("😀😀", "😀😀"),
        ("好" * 2000, "好" * 2000),
    ],
    ids=["spaces", "NUL", "lone surrogate", "zero width", "emoji", "2000 characters"],
)
async def test_odd_texts_are_stored_as_they_can_be_shown(hotline, text, stored):
    talk = await hotline.open()
    body = b'{"client_message_id": "message-1", "text": "%s"}' % text.encode("unicode_escape").replace(
        b"\\x00", b"\\u0000"
    ).replace(b"\\U0001f600", b"\\ud83d\\ude00")
    response = await hotline.http.post(
        f"{talk.path}/messages", content=body, headers=talk.headers | {"content-type": "application/json"}
    )
    assert response.status_code == 200, response.text
    assert response.json()["message"]["text"] == stored


ID = "message-1"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"client_message_id": ID, "text": ""}, Problem.EMPTY),
        ({"client_message_id": ID, "text": " \n\t"}, Problem.EMPTY),
        ({"client_message_id": ID, "text": "\x00"}, Problem.EMPTY),
        ({"client_message_id": ID, "text": "好" * 2001}, Problem.TOO_LONG),
        ({"client_message_id": ID, "text": "好" * 22_000}, Problem.TOO_LARGE),
        ({"client_message_id": ID}, Problem.MALFORMED),
        ({"client_message_id": ID, "text": "a", "choice": "human-0"}, Problem.MALFORMED),
        ({"client_message_id": ID, "text": "a", "seq": 1}, Problem.MALFORMED),
        ({"client_message_id": ID, "text": 5}, Problem.MALFORMED),
        ({"client_message_id": ID, "text": ["a"]}, Problem.MALFORMED),
        ({"client_message_id": "short", "text": "a"}, Problem.MALFORMED),
        ({"client_message_id": "x" * 65, "text": "a"}, Problem.MALFORMED),
        ({"client_message_id": "message 1", "text": "a"}, Problem.MALFORMED),
        ({"text": "a"}, Problem.MALFORMED),
        ([], Problem.MALFORMED),
        (None, Problem.MALFORMED),
        ({"client_message_id": ID, "choice": "no-such"}, Problem.UNKNOWN_CHOICE),
        ({"client_message_id": ID, "choice": "x" * 65}, Problem.MALFORMED),
    ],
)
async def test_wrong_bodies_are_refused_and_leave_nothing(hotline, body, problem):
    talk = await hotline.open()
    response = await hotline.http.post(f"{talk.path}/messages", json=body, headers=talk.headers)
    refused(response, problem)
    assert len(await talk.log()) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe\x00", b"[" * 60_000, b'{"text": ' + b"9" * 5000 + b"}", b'"\\ud800"'],
    ids=["nothing", "broken", "binary", "deep", "long number", "surrogate"],
)
async def test_bodies_that_are_no_json_are_refused(hotline, content):
    talk = await hotline.open()
    headers = talk.headers | {"content-type": "application/json"}
    refused(
        await hotline.http.post(f"{talk.path}/messages", content=content, headers=headers), Problem.MALFORMED
    )
    assert len(await talk.log()) == 1


async def test_a_large_body_is_refused_declared_or_not(hotline):
    talk = await hotline.open()

    async def chunks():
        for _ in range(40):
            yield b'{"client_message_id": "' + b"x" * 5_000

    async with hotline.served() as client:
        for content in (b"x" * 100_000, chunks()):
            response = await client.post(f"{talk.path}/messages", content=content, headers=talk.headers)
            refused(response, Problem.TOO_LARGE)
            assert "default-src 'none'" in response.headers["content-security-policy"]
        small = {"client_message_id": ID, "text": "还在吗"}
        assert (
            await client.post(f"{talk.path}/messages", json=small, headers=talk.headers)
        ).status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer ", "Bearer wrong", "Basic abc", "wrong", "Bearer ä"])
async def test_without_the_conversations_token_nothing_is_told(hotline, value):
    talk, other = await hotline.open(), await hotline.open()
    for header in (value, f"Bearer {other.token}"):
        headers = {"authorization": header.encode("latin-1")}
        for call in (
            hotline.http.get(f"{talk.path}/messages", headers=headers),
            hotline.http.get(f"{talk.path}/events", headers=headers),
            hotline.http.post(
                f"{talk.path}/messages", json={"client_message_id": ID, "text": "a"}, headers=headers
            ),
        ):
            refused(await call, Problem.UNAUTHORIZED)
    assert len(await talk.log()) == 1


async def test_unknown_places_and_verbs(hotline):
    talk = await hotline.open()
    for name in (str(uuid.uuid4()), "x", "a%00b", "%ff"):
        response = await hotline.http.get(f"/api/v1/conversations/{name}/messages", headers=talk.headers)
        refused(response, Problem.UNKNOWN_CONVERSATION)
    refused(await hotline.http.get("/api/v1/nothing"), Problem.NOT_FOUND)
    refused(await hotline.http.get("/static/nothing.js"), Problem.NOT_FOUND)
    refused(await hotline.http.get("/static/../app.py"), Problem.NOT_FOUND)
    refused(await hotline.http.delete(f"{talk.path}/messages", headers=talk.headers), Problem.METHOD)
    for after in ("-1", "x", "99999999999"):
        response = await hotline.http.get(
            f"{talk.path}/messages", params={"after": after}, headers=talk.headers
        )
        refused(response, Problem.MALFORMED)
    refused(await hotline.http.post("/api/v1/conversations", json={"channel": "sms"}), Problem.MALFORMED)
    refused(await hotline.http.post("/api/v1/conversations", json={"owner": "person"}), Problem.MALFORMED)


async def test_a_mistake_in_the_program_is_told_without_its_details(hotline, monkeypatch):
    talk = await hotline.open()
    monkeypatch.setattr("bot.conversations.log.after", lambda *_: 1 / 0)
    refused(await hotline.http.get(f"{talk.path}/messages", headers=talk.headers), Problem.INTERNAL)


async def test_too_many_messages_wait_and_nothing_is_stored(make_hotline):
    hotline = make_hotline(rate_limits="on", messages_per_minute=3)
    one, two = await hotline.open(), await hotline.open()
    for n in range(3):
        assert (await one.send("a", message_id=f"message-{n}")).status_code == 200
    response = refused(await one.send("a", message_id="message-3"), Problem.TOO_MANY)
    assert 1 <= int(response.headers["retry-after"]) <= 20
    assert len(await one.log()) == 7
    # A repeated delivery and another conversation are not held up.
    assert (await one.send("a", message_id="message-0")).status_code == 200
    assert (await two.send("a")).status_code == 200


async def test_too_many_conversations_from_one_address_wait(make_hotline):
    hotline = make_hotline(rate_limits="on", conversations_per_minute=2)
    await hotline.open()
    await hotline.open()
    response = await hotline.http.post("/api/v1/conversations", json={})
    assert int(refused(response, Problem.TOO_MANY).headers["retry-after"]) >= 1


# -- buttons ----------------------------------------------------------------------------------------


async def test_a_button_sends_what_it_means(hotline):
    talk = await hotline.open()
    choice = next(c for c in talk.greeting["choices"] if c["label"] == "16条措施有哪些")
    body = (await talk.send(choice=choice["id"])).json()
    assert body["message"]["text"] == "16条措施有哪些"
    assert hotline.engine.calls[0].context["picked"] == []


async def test_a_picked_measure_reaches_the_engine(hotline):
    talk = await hotline.open()
    hotline.engine.script["许可证到期"] = Decision([{"compose": "clarify"}], {"options": [4, 5]}, [])
    [asked] = await talk.say("许可证到期")
    assert asked["answer"]["options"] == [{"measures": [4]}, {"measures": [5]}]
    await talk.send(choice=asked["choices"][1]["id"])
    assert hotline.engine.calls[-1].context["picked"] == [5]
    assert hotline.engine.calls[-1].context["options"] == [4, 5]


async def test_a_button_of_an_earlier_turn_is_void(hotline):
    talk = await hotline.open()
    hotline.engine.script["一"] = [ready("要跳过吗？", "intake", choices=["跳过"])]
    hotline.engine.script["二"] = [ready("都对吗？", "intake", choices=["确认提交"])]
    [first] = await talk.say("一")
    [second] = await talk.say("二")
    assert first["choices"][0]["id"] != second["choices"][0]["id"]
    refused(await talk.send(choice=first["choices"][0]["id"]), Problem.UNKNOWN_CHOICE)
    refused(await talk.send(choice=talk.greeting["choices"][0]["id"]), Problem.UNKNOWN_CHOICE)
    assert (await talk.send(choice=second["choices"][0]["id"])).json()["message"]["text"] == "确认提交"


async def test_buttons_stay_while_turns_offer_none(hotline):
    talk = await hotline.open()
    await talk.say("你好")
    choice = talk.greeting["choices"][1]
    assert (await talk.send(choice=choice["id"])).json()["message"]["text"] == choice["label"]


@pytest.mark.parametrize("kind", ["policy", "intake"])
async def test_all_messages_of_a_turn_offer_their_buttons(hotline, kind):
    hotline.engine.script["问"] = Decision(
        [{"compose": "policy"}, ready("哪家？", "intake", choices=["说不清，跳过"])],
        {"measures": [9], "facet": "what"},
        [],
    )
    talk = await hotline.open()
    choice = next(r["choices"][0] for r in await talk.say("问") if r["answer"]["kind"] == kind)
    assert (await talk.send(choice=choice["id"])).json()["message"]["text"] == choice["label"]
