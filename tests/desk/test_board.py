"""The board looks for the pages that are open, and for nobody else."""

import asyncio
import contextlib

import pytest

from bot.conversations.news import News
from bot.desk.pages import live
from bot.desk.pages.live import Board
from bot.desk.pages.seat import Desk


@pytest.fixture
async def board(hotline, monkeypatch):
    monkeypatch.setattr(live, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(live, "SHORTEST", 0.0)
    news = News(hotline.readers)
    desk = Desk(hotline.sessions, hotline.readers, hotline.clock, hotline.engine, hotline.config, news)
    made = Board(desk)
    made.looks = 0
    look = made.look

    async def counted():
        made.looks += 1
        await look()

    made.look = counted
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_nothing_is_read_while_no_page_is_open(board):
    await asyncio.sleep(0.2)
    assert board.looks == 0


async def test_a_page_wakes_the_board_and_draws_only_what_is_fresh(board, monkeypatch):
    monkeypatch.setattr(live, "RESTS_AFTER", 30.0)
    assert board.watch() is False
    await until(lambda: board.watch() and board.looks >= 3)


async def test_the_board_rests_again_when_the_pages_are_closed(board, monkeypatch):
    monkeypatch.setattr(live, "RESTS_AFTER", 0.05)
    await until(lambda: board.watch() and board.looks >= 1)
    await until(lambda: not board._fresh)
    seen = board.looks
    await asyncio.sleep(0.2)
    assert board.looks == seen
    assert board.watch() is False
    await until(lambda: board.watch() and board.looks > seen)


async def test_pages_are_drawn_while_the_database_is_away(board, logged):
    async def broken():
        raise OSError("gone")

    board.look = broken
    await until(board.watch)
    assert {entry["event"] for entry in logged} == {"board_not_read"}
