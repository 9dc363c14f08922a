"""A citizen's token: signed, of one conversation, short-lived, renewed in time, ended with its conversation."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from bot.channels import widget
from bot.conversations import tokens
from bot.conversations.models import Conversation
from bot.crypto import DataKey, set_data_key
from bot.errors import HotlineError, Problem
from bot.settings import Settings
from tests.harness import Clock


async def read(talk, token):
    return await talk.http.get(f"{talk.path}/messages", headers={"Authorization": f"Bearer {token}"})


def changed(token, part):
    """The token with one character of a part replaced, and still of its shape."""
    parts = token.split(".")
    first = parts[part][0]
    parts[part] = ("2" if first == "1" else "1") + parts[part][1:]
    return ".".join(parts)


async def test_a_token_is_signed_and_of_one_conversation(hotline):
    talk, other = await hotline.open(), await hotline.open()
    secret, until, signature = talk.token.split(".")
    later = f"{secret}.{int(until) + 3600}.{signature}"
    for token in (
        *(changed(talk.token, part) for part in range(3)), later, other.token, secret, f"{secret}..{signature}",
        f"{secret}.{until}.", f"{talk.token}.x", talk.token.upper(), "", "x" * 5000,
    ):  # fmt: skip
        response = await read(talk, token)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized"), token
    assert (await read(talk, talk.token)).status_code == 200


async def test_what_is_stored_opens_nothing(hotline):
    """A copy of the database without the data key: neither the hash nor a token signed with another key serves."""
    talk = await hotline.open()
    with hotline.readers() as session:
        stored = session.get(Conversation, talk.id)
        assert talk.token.split(".")[0] not in (stored.token_hash, stored.id)
        opened = stored.created_at
    set_data_key(DataKey(bytes(32)))
    forged = tokens.sign(talk.id, talk.token.split(".")[0], opened, hotline.clock())
    set_data_key(DataKey(bytes(range(32))))
    assert (await read(talk, forged)).status_code == 401
    assert (await read(talk, stored.token_hash)).status_code == 401


async def test_a_token_ends_after_its_hours(hotline, clock):
    talk = await hotline.open()
    clock.advance(hours=71, minutes=59)
    assert (await read(talk, talk.token)).status_code == 200
    clock.advance(minutes=2)
    response = await read(talk, talk.token)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized")
    assert (await talk.send("你好")).status_code == 401
    assert (await hotline.http.get(f"{talk.path}/events", headers=talk.headers)).status_code == 401


async def test_who_stays_gets_the_next_token_in_time_and_the_old_one_still_ends(hotline, clock):
    talk = await hotline.open()
    clock.advance(hours=35)
    assert "hotline-token" not in (await read(talk, talk.token)).headers
    clock.advance(hours=2)
    first, told = talk.token, (await read(talk, talk.token)).headers["hotline-token"]
    # Any answer brings it, also a refusal and a stream.
    assert (await talk.send("")).headers["hotline-token"] == told
    assert (await talk.send("你好")).headers["hotline-token"] == told
    talk.token = told
    clock.advance(hours=36)
    assert (await read(talk, first)).status_code == 401
    assert (await talk.say("还在"))[0]["text"] == "收到：还在"


async def test_a_stolen_token_ends_however_often_it_is_renewed(hotline, clock):
    talk = await hotline.open()
    for _ in range(70):
        clock.advance(hours=12)
        response = await read(talk, talk.token)
        if response.status_code == 401:
            break
        talk.token = response.headers.get("hotline-token", talk.token)
    lived = clock.now - Clock().now
    assert tokens.LONGEST <= lived <= tokens.LONGEST + timedelta(hours=12)


async def test_an_erased_conversation_has_no_token(hotline):
    from bot.desk.erasure import ERASED

    talk = await hotline.open()
    with hotline.sessions.begin() as session:
        session.get_one(Conversation, talk.id).token_hash = ERASED
    assert (await read(talk, talk.token)).status_code == 401


def test_tokens_differ_and_a_setting_shortens_them(monkeypatch, clock):
    made = {tokens.new_secret() for _ in range(100)}
    assert len(made) == 100 and all(len(secret) == 43 for secret in made)
    monkeypatch.setattr(tokens, "settings", lambda: Settings(token_hours=1))
    token = tokens.sign("c", made.pop(), clock(), clock())
    assert tokens.check("c", token, clock() + timedelta(minutes=59))[1] == timedelta(minutes=1)
    with pytest.raises(HotlineError) as refused:
        tokens.check("c", token, clock() + timedelta(hours=1))
    assert refused.value.problem is Problem.UNAUTHORIZED


async def test_a_stream_ends_in_time_for_the_next_token(hotline, monkeypatch):
    monkeypatch.setattr(widget, "STREAM_SECONDS", 0.3)
    monkeypatch.setattr(widget, "POLL_SECONDS", 0.1)
    talk = await hotline.open()
    async with (
        hotline.served() as http,
        http.stream("GET", f"{talk.path}/events", headers=talk.headers) as stream,
    ):
        async with asyncio.timeout(30):
            lines = [line async for line in stream.aiter_lines()]
    assert any(line.startswith("id:") for line in lines)
    assert hotline.app.state.streams == Counter()


async def test_a_conversation_has_so_many_streams(hotline, monkeypatch):
    monkeypatch.setattr(widget, "STREAMS", 2)
    talk, other = await hotline.open(), await hotline.open()
    path = f"{talk.path}/events"
    async with hotline.served() as http, asyncio.timeout(90):
        async with (
            http.stream("GET", path, headers=talk.headers) as one,
            http.stream("GET", path, headers=talk.headers) as two,
        ):
            lines = [one.aiter_lines(), two.aiter_lines()]  # kept: one that is forgotten closes its stream
            for each in lines:
                assert await anext(each)
            async with http.stream("GET", path, headers=talk.headers) as third:
                await third.aread()
                assert (third.status_code, third.json()["error"]["code"]) == (429, "too_many")
            async with http.stream("GET", f"{other.path}/events", headers=other.headers) as free:
                assert free.status_code == 200
        while hotline.app.state.streams:
            await asyncio.sleep(0.05)
