"""Addresses on both databases: the first two messages of a number at once open one conversation."""

import shutil
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from bot.conversations import addresses, delivery, log
from bot.conversations.models import Address, Conversation
from bot.outbox.models import Delivery
from bot.storage import make_engine, make_sessions, upgrade
from tests.cases.conftest import NOW, postgres  # noqa: F401

PHONE = "13904321187"


@pytest.fixture(params=["sqlite", "postgresql"])
def sessions(request, tmp_path, migrated):
    if request.param == "sqlite":
        shutil.copy(migrated, tmp_path / "a.db")
        url = f"sqlite:///{tmp_path / 'a.db'}"
    else:
        server = request.getfixturevalue("postgres")
        admin = make_engine(f"{server}/postgres").execution_options(isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("DROP DATABASE IF EXISTS addresses"))
            connection.execute(text("CREATE DATABASE addresses"))
        admin.dispose()
        url = f"{server}/addresses"
        upgrade(url)
    engine = make_engine(url)
    yield make_sessions(engine)
    engine.dispose()


def test_two_first_messages_at_once_are_one_conversation(sessions):
    found, errors = [], []
    gate = threading.Barrier(4)

    def write():
        try:
            gate.wait()
            with sessions.begin() as session:
                found.append(addresses.conversation_of(session, "sms", PHONE, now=NOW)[1].id)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(found) == 4
    assert len(set(found)) == 1
    with sessions() as session:
        assert len(session.scalars(select(Address)).all()) == 1
        assert len(session.scalars(select(Conversation)).all()) == 1


def test_an_old_conversation_still_leads_to_its_address(sessions):
    with sessions.begin() as session:
        _, old = addresses.conversation_of(session, "sms", PHONE, now=NOW)
        _, new = addresses.conversation_of(session, "sms", PHONE, now=NOW + timedelta(days=2))
        assert old.id != new.id
        assert delivery.address_of(session, old) == delivery.address_of(session, new)
        log.append(session, old, "staff", log.Reply("还在", {}), NOW)
        assert session.scalars(select(Delivery)).one().conversation_id == old.id


def test_the_widget_needs_no_delivery(sessions):
    with sessions.begin() as session:
        conversation, _ = log.open_conversation(session, "widget", NOW)
        log.append(session, conversation, "bot", log.Reply("您好", {}), NOW)
        assert session.scalars(select(Delivery)).all() == []


def test_no_token_opens_a_conversation_of_an_address(sessions):
    with sessions.begin() as session:
        _, conversation = addresses.conversation_of(session, "sms", PHONE, now=NOW)
        assert log.token_hash(PHONE) != conversation.token_hash


@pytest.mark.parametrize(("channel", "address"), [("sms", ""), ("sms", "abc"), ("wechat", "  ")])
def test_an_address_that_is_none_is_refused(sessions, channel, address):
    with sessions.begin() as session, pytest.raises(ValueError):
        addresses.conversation_of(session, channel, address, now=NOW)
