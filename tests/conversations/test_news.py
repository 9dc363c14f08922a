"""News of other processes."""

import asyncio
import contextlib

from bot.conversations import log, news
from bot.conversations.log import Reply
from bot.conversations.models import Conversation
from bot.conversations.news import News


def write(hotline, talk, text):
    with hotline.sessions.begin() as session:
        conversation = session.get_one(Conversation, talk.id)
        log.append(session, conversation, "staff", Reply(text, {}), hotline.clock())


@contextlib.asynccontextmanager
async def watching(readers):
    found = News(readers)
    task = asyncio.create_task(found.watch())
    await asyncio.sleep(0.4)
    yield found
    task.cancel()


async def test_what_another_process_committed_wakes_who_waits_for_it(hotline):
    one, two = await hotline.open(), await hotline.open()
    async with watching(hotline.readers) as found:
        mine, other, everything = found.of(one.id), found.of(two.id), found.everything()
        for event in (mine, other, everything):
            event.clear()
        write(hotline, one, "您好")
        await asyncio.wait_for(mine.wait(), 20)
        assert everything.is_set() and not other.is_set()


async def test_a_watch_that_breaks_begins_again_and_wakes_everybody(hotline, monkeypatch):
    monkeypatch.setattr(news, "RETRY_SECONDS", 0.05)
    talk = await hotline.open()
    calls = []

    class Broken(News):
        async def _look(self, engine):
            calls.append(1)
            if len(calls) == 1:
                raise OSError("gone")
            await super()._look(engine)

    found = Broken(hotline.readers)
    mine = found.of(talk.id)
    task = asyncio.create_task(found.watch())
    await asyncio.wait_for(mine.wait(), 20)
    await asyncio.sleep(0.4)
    mine.clear()
    write(hotline, talk, "您好")
    await asyncio.wait_for(mine.wait(), 20)
    assert len(calls) == 2
    task.cancel()


def test_nobody_waiting_is_no_error(hotline):
    found = News(hotline.readers)
    found.ring("nobody")


async def test_one_who_reads_does_not_take_the_news_from_another(hotline):
    found = News(hotline.readers)
    one, two = found.of("c1"), found.of("c1")
    found.ring("c1")
    one.clear()
    assert two.is_set()


def test_conversations_nobody_waits_for_are_forgotten(hotline, monkeypatch):
    monkeypatch.setattr(news, "TIDY", 10)
    found = News(hotline.readers)
    kept = found.of("kept")
    for number in range(100):
        found.of(f"c{number}")
    assert len(found._events) <= 22
    found.ring("kept")
    assert kept.is_set()
