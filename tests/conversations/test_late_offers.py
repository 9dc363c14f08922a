"""Who waits long is told once, and never over a person's head, also when two gateways look at the same time."""

from __future__ import annotations

import shutil
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from bot.conversations import call_back, log, ownership
from bot.conversations.models import Conversation, Message
from bot.staff.models import Staff
from bot.storage import make_engine, make_sessions, upgrade
from tests.cases.conftest import NOW, postgres  # noqa: F401

LATER = NOW + call_back.LATE + timedelta(minutes=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def sessions(request, tmp_path, migrated):
    if request.param == "sqlite":
        shutil.copy(migrated, tmp_path / "late.db")
        url = f"sqlite:///{tmp_path / 'late.db'}"
    else:
        server = request.getfixturevalue("postgres")
        admin = make_engine(f"{server}/postgres").execution_options(isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("DROP DATABASE IF EXISTS late"))
            connection.execute(text("CREATE DATABASE late"))
        admin.dispose()
        url = f"{server}/late"
        upgrade(url)
    engine = make_engine(url, busy_timeout=30.0)
    yield make_sessions(engine)
    engine.dispose()


@pytest.fixture
def waiting(sessions):
    """The id of a conversation that waits for a person."""
    with sessions.begin() as session:
        opened, _ = log.open_conversation(session, "widget", NOW)
        log.queue_hand_over(session, opened.id, "要求人工", urgent=False, now=NOW)
        session.add(
            Staff(id="wang", username="wang", name="王芳", role="agent", password_hash="!", created_at=NOW)
        )
    return opened.id


def said(sessions):
    with sessions() as session:
        return [(m.author, m.seq) for m in session.scalars(select(Message).order_by(Message.seq))]


def offer(sessions, found):
    with sessions.begin() as session:
        found += call_back.offer_late(session, LATER)


def test_two_gateways_tell_it_once(sessions, waiting):
    found: list[str] = []
    gate = threading.Barrier(4)

    def look():
        gate.wait()
        offer(sessions, found)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [waiting]
    assert said(sessions) == [("bot", 1)]


def test_nothing_is_said_to_who_was_taken_over_meanwhile(sessions, waiting):
    found: list[str] = []
    looking = threading.Thread(target=offer, args=(sessions, found))
    with sessions.begin() as session:
        ownership.claim(session, waiting, session.get_one(Staff, "wang"), now=LATER)
        looking.start()
        looking.join(0.5)  # It waits for this transaction, which is not committed yet.
    looking.join()
    assert found == []
    assert said(sessions) == [("system", 1)]


def test_what_a_turn_stores_meanwhile_stays(sessions, waiting):
    found: list[str] = []
    looking = threading.Thread(target=offer, args=(sessions, found))
    with sessions.begin() as session:
        conversation = log.hold(session, waiting)
        conversation.state = {"focus": [9]}
        session.flush()
        looking.start()
        looking.join(0.5)
    looking.join()
    with sessions() as session:
        state = session.get_one(Conversation, waiting).state
    assert state["focus"] == [9] and state["call_back_offered"]
