"""The audit chain: what was done behind its back is found and named, on both databases."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot import audit
from bot.audit import Broken, record, verify
from bot.crypto import DataKey, set_data_key
from bot.storage import StorageError


def fill(sessions, now, count=6):
    with sessions.begin() as session:
        for number in range(1, count + 1):
            record(
                session, f"staff:wang{number}", "case.look", f"case:{number}", {"fields": ["phone"]}, now=now
            )


def broken(sessions):
    with sessions() as session:
        return verify(session)


def behind_the_triggers(sessions, *statements):
    """What somebody with the database's password could do."""
    with sessions.begin() as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("ALTER TABLE audit_log DISABLE TRIGGER ALL"))
        else:
            for name in ("no_update", "no_delete", "no_replace"):
                session.execute(text(f"DROP TRIGGER audit_log_{name}"))
        for statement in statements:
            session.execute(text(statement))


def test_an_untouched_chain_holds_and_tells_its_head(sessions, now):
    assert broken(sessions) is None
    fill(sessions, now)
    assert broken(sessions) is None
    with sessions() as session:
        number, last = audit.head(session)
        entry = session.get(audit.AuditEntry, 6)
    assert (number, last, len(last)) == (6, entry.hash, 64)
    assert (entry.actor, entry.detail, entry.at) == ("staff:wang6", {"fields": ["phone"]}, now)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET actor = 'x' WHERE id = 3", "DELETE FROM audit_log WHERE id = 3"],
)
def test_the_database_itself_refuses_changes(sessions, now, statement):
    fill(sessions, now)
    with pytest.raises((DBAPIError, StorageError)), sessions.begin() as session:
        session.execute(text(statement))
    assert broken(sessions) is None


@pytest.mark.parametrize(
    ("statement", "where", "what"),
    [
        ("UPDATE audit_log SET actor = 'staff:li' WHERE id = 3", 3, "changed"),
        ("UPDATE audit_log SET action = 'case.list' WHERE id = 3", 3, "changed"),
        ("UPDATE audit_log SET subject = 'case:9' WHERE id = 3", 3, "changed"),
        ("UPDATE audit_log SET detail = NULL WHERE id = 3", 3, "changed"),
        ("UPDATE audit_log SET detail = (SELECT detail FROM audit_log WHERE id = 4), hash = "
         "(SELECT hash FROM audit_log WHERE id = 4) WHERE id = 3", 3, "changed"),
        ("UPDATE audit_log SET detail = hash || hash WHERE id = 3", 3, "cannot be opened"),
        ("UPDATE audit_log SET hash = previous WHERE id = 3", 3, "changed"),
        ("UPDATE audit_log SET previous = hash WHERE id = 3", 3, "follow"),
        ("DELETE FROM audit_log WHERE id = 3", 3, "missing"),
        ("DELETE FROM audit_log WHERE id = 1", 1, "missing"),
        ("DELETE FROM audit_log WHERE id >= 5", 5, "cut off"),
        ("DELETE FROM audit_log", 1, "cut off"),
        ("UPDATE audit_head SET hash = 'x'", None, "changed"),
        ("DELETE FROM audit_head", None, "missing"),
        ("UPDATE audit_head SET last_id = 4", 5, "past the head"),
    ],
)  # fmt: skip
def test_whatever_was_done_is_found_and_named(sessions, now, statement, where, what):
    fill(sessions, now)
    if "hash || hash" in statement and sessions.kw["bind"].dialect.name == "postgresql":
        statement = "UPDATE audit_log SET detail = decode(hash, 'hex') WHERE id = 3"
    behind_the_triggers(sessions, statement)
    found = broken(sessions)
    assert isinstance(found, Broken)
    assert found.entry_id == where and what in found.reason
    assert (f"entry {where}" if where else "head") in str(found)


def test_a_moved_time_is_found(sessions, now):
    fill(sessions, now)
    behind_the_triggers(sessions, "UPDATE audit_log SET at = '2026-01-01 00:00:00' WHERE id = 2")
    assert broken(sessions).entry_id == 2


def test_two_entries_that_changed_places_are_found(sessions, now):
    fill(sessions, now)
    behind_the_triggers(
        sessions,
        "UPDATE audit_log SET id = 99 WHERE id = 3",
        "UPDATE audit_log SET id = 3 WHERE id = 4",
        "UPDATE audit_log SET id = 4 WHERE id = 99",
    )
    assert broken(sessions).entry_id == 3


def test_cutting_the_end_off_and_setting_the_head_back_needs_the_key(sessions, now):
    """The obvious forgery: the fifth entry's own hash in the head does not make it the last one."""
    fill(sessions, now)
    behind_the_triggers(
        sessions,
        "DELETE FROM audit_log WHERE id = 6",
        "UPDATE audit_head SET last_id = 5, hash = (SELECT hash FROM audit_log WHERE id = 5)",
    )
    assert broken(sessions) == Broken(None, "it was changed")


def test_a_cut_off_end_stays_visible_after_more_was_written(sessions, now):
    fill(sessions, now)
    behind_the_triggers(sessions, "DELETE FROM audit_log WHERE id >= 5")
    with sessions.begin() as session:
        assert record(session, "system", "x", "y", now=now).id == 7
    assert broken(sessions) == Broken(5, "it is missing")


def test_a_log_that_was_thrown_away_whole_is_missed(sessions, now):
    from bot.staff import accounts

    with sessions.begin() as session:
        accounts.first_admin(session, now=now)
    behind_the_triggers(sessions, "DELETE FROM audit_log", "DELETE FROM audit_head")
    assert broken(sessions) == Broken(None, "it is missing")


def test_without_the_key_nobody_computes_the_chain(sessions, now):
    set_data_key(DataKey(bytes(32)))
    fill(sessions, now)
    set_data_key(DataKey(bytes(range(32))))
    assert broken(sessions).entry_id == 1


def test_an_entry_is_rolled_back_with_what_it_tells_of(sessions, now):
    fill(sessions, now, 2)
    with pytest.raises(ZeroDivisionError), sessions.begin() as session:
        record(session, "system", "x", "y", now=now)
        raise ZeroDivisionError
    fill(sessions, now, 2)
    with sessions() as session:
        assert (verify(session), audit.head(session)[0]) == (None, 4)


def test_many_threads_write_one_chain(sessions, now):
    """The first ones race for making the head as well."""
    failed = []

    def work(worker):
        try:
            for number in range(8):
                with sessions.begin() as session:
                    record(session, f"staff:{worker}", "x", f"case:{number}", now=now)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with sessions() as session:
        assert (verify(session), audit.head(session)[0]) == (None, 48)


def test_pruning_tells_of_itself_and_keeps_the_rest_verifiable(sessions, now):
    fill(sessions, now - timedelta(days=400), 4)
    fill(sessions, now, 3)
    with sessions.begin() as session:
        assert audit.prune(session, now - timedelta(days=365), actor="system", now=now) == 4
    with sessions() as session:
        assert verify(session) is None
        assert session.scalar(text("SELECT min(id) FROM audit_log")) == 5
        told = session.get(audit.AuditEntry, 8)
        assert (told.action, told.detail["up_to"], told.detail["count"]) == (audit.PRUNED, 4, 4)
    with pytest.raises((DBAPIError, StorageError)), sessions.begin() as session:
        session.execute(text("DELETE FROM audit_log WHERE id = 5"))
    behind_the_triggers(sessions, "DELETE FROM audit_log WHERE id = 5")
    assert broken(sessions) == Broken(5, "it and everything before it is missing")


def test_pruning_never_takes_the_newest_and_does_nothing_when_nothing_is_old(sessions, now):
    fill(sessions, now, 3)
    with sessions.begin() as session:
        assert audit.prune(session, now - timedelta(days=1), actor="system", now=now) == 0
        assert audit.prune(session, now + timedelta(days=1), actor="system", now=now) == 2
    with sessions() as session:
        assert (verify(session), audit.head(session)[0]) == (None, 4)


def test_numbers_that_somebody_typed_into_a_reason_are_masked(sessions, now):
    with sessions.begin() as session:
        entry = record(session, "system", "x", "y", {"reason": "13904321187来电要求"}, now=now)
        assert entry.detail == {"reason": "139****1187来电要求"}
    assert broken(sessions) is None
