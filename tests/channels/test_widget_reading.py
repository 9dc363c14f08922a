"""Reading the log: nothing missing, in order, whatever happens to the connection (promise 4)."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.channels import widget
from bot.conversations import log
from bot.conversations.log import Reply
from bot.conversations.models import Conversation
from tests.harness import ready


def add(hotline, talk, author, text):
    """What another process adds to the log."""
    with hotline.sessions.begin() as session:
        conversation = session.get_one(Conversation, talk.id)
        log.append(session, conversation, author, Reply(text, {}), hotline.clock())


class Client:
    """What the chat page does: appends what follows its cursor and never expects anything twice."""

    def __init__(self, talk):
        self.messages = [talk.greeting]

    @property
    def cursor(self):
        return self.messages[-1]["seq"]

    def take(self, messages):
        for message in messages:
            assert message["seq"] == self.cursor + 1
            self.messages.append(message)


OPERATION = st.one_of(
    st.tuples(st.just("say"), st.integers(1, 3)),
    st.tuples(st.just("staff"), st.integers(1, 2)),
    st.tuples(st.just("poll"), st.just(0)),
    st.tuples(st.just("stream"), st.integers(0, 6)),
    st.tuples(st.just("cut"), st.integers(1, 6)),
    st.tuples(st.just("restart"), st.just(0)),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(OPERATION, max_size=12))
async def test_the_clients_log_equals_the_servers(hotline, operations):
    talk = await hotline.open()
    client = Client(talk)
    for operation, number in operations:
        talk = await hotline.reopened(talk)
        behind = len(await talk.log(after=client.cursor))
        if operation == "say":
            for n in range(number):
                await talk.say(f"第{n}句")
        elif operation == "staff":
            for n in range(number):
                add(hotline, talk, "staff", f"值班人员{n}")
        elif operation == "poll":
            client.take(await talk.log(after=client.cursor))
        elif operation == "stream":
            client.take(await hotline.streamed(talk, client.cursor, min(number, behind)))
        elif operation == "cut":
            # The connection broke while events were on their way: the client has seen only the first ones.
            client.take((await hotline.streamed(talk, client.cursor, behind))[:number])
        else:
            hotline.restart()
    talk = await hotline.reopened(talk)
    client.take(await hotline.streamed(talk, client.cursor, len(await talk.log(after=client.cursor))))
    whole = await talk.log()
    assert client.messages == whole
    assert [m["seq"] for m in whole] == list(range(1, len(whole) + 1))


async def test_a_stream_gets_what_is_said_while_it_is_open(hotline):
    talk = await hotline.open()
    async with hotline.served() as client:
        streamed = type(talk)(
            client, {"conversation_id": talk.id, "token": talk.token, "messages": [talk.greeting]}
        )
        waiting = asyncio.create_task(streamed.events(1, 2))
        await asyncio.sleep(0.3)
        sent = (await talk.send("你好")).json()
        begun = asyncio.get_running_loop().time()
        events = await asyncio.wait_for(waiting, 20)
        assert asyncio.get_running_loop().time() - begun < widget.POLL_SECONDS / 2
    assert [(e["event"], e["id"], e["data"]) for e in events] == [
        ("message", "2", sent["message"]),
        ("message", "3", sent["replies"][0]),
    ]


async def test_a_stream_finds_what_another_process_wrote(hotline, monkeypatch):
    monkeypatch.setattr(widget, "POLL_SECONDS", 0.05)
    talk = await hotline.open()
    waiting = asyncio.create_task(hotline.streamed(talk, 1, 1))
    await asyncio.sleep(0.1)
    add(hotline, talk, "staff", "我是值班人员小王")
    [message] = await asyncio.wait_for(waiting, 20)
    assert (message["author"], message["text"]) == ("staff", "我是值班人员小王")


async def test_two_streams_of_one_conversation_both_get_everything(hotline):
    talk = await hotline.open()
    waiting = [asyncio.create_task(hotline.streamed(talk, 1, 4)) for _ in range(2)]
    await asyncio.sleep(0.05)
    await talk.say("一")
    await talk.say("二")
    one, two = await asyncio.gather(*waiting)
    assert one == two == await talk.log(after=1)


async def test_a_receipt_is_an_event_of_its_own_that_a_resumed_stream_gets_again(hotline):
    talk = await hotline.open()
    number = "JL-T-261122-00001-4"
    hotline.engine.script["确认提交"] = [ready("投诉已登记。", "receipt", case=number)]
    await talk.say("确认提交")
    assert await hotline.streamed(talk, 1, 3) == [
        (await talk.log())[1],
        {"case": number},
        (await talk.log())[2],
    ]
    # Cut off between the receipt and its message, the client still has seq 2.
    assert (await hotline.streamed(talk, 2, 2))[0] == {"case": number}


async def test_a_stream_starts_after_what_it_is_told(hotline):
    talk = await hotline.open()
    await talk.say("一")
    whole = await talk.log()
    async with hotline.served() as client:
        for query, header, expected in (
            ({"after": "1"}, {}, 2),
            ({"after": "1"}, {"Last-Event-ID": "2"}, 3),
            ({}, {"Last-Event-ID": "not a number"}, 1),
            ({}, {"Last-Event-ID": "99999999999999"}, 1),
        ):
            async with client.stream(
                "GET", f"{talk.path}/events", params=query, headers=talk.headers | header
            ) as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                assert response.headers["cache-control"] == "no-store"
                line = await anext(line async for line in response.aiter_lines() if line.startswith("id"))
            assert line == f"id: {expected}"
    assert len(whole) == 3


async def test_a_long_log_is_read_page_by_page(hotline):
    talk = await hotline.open()
    with hotline.sessions.begin() as session:
        conversation = session.get_one(Conversation, talk.id)
        for n in range(520):
            log.append(session, conversation, "staff", Reply(str(n), {}), hotline.clock())
    pages, cursor = [], 0
    while page := await talk.log(after=cursor):
        pages.append(len(page))
        cursor = page[-1]["seq"]
    assert (pages, cursor) == ([500, 21], 521)
    streamed = await hotline.streamed(talk, 0, 510)
    assert [m["seq"] for m in streamed] == list(range(1, 511))
