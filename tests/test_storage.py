import logging
import multiprocessing
import sqlite3
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import String, inspect, text
from sqlalchemy.exc import OperationalError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bot.crypto import DataKey, Tampered, set_data_key
from bot.storage import (
    DatabaseBusy,
    DatabaseDown,
    EncryptedJson,
    EncryptedText,
    UtcDateTime,
    make_engine,
    make_sessions,
    upgrade,
)


class OwnBase(DeclarativeBase):
    """Tables of this test alone; the project's metadata stays clean."""


class Note(OwnBase):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None] = mapped_column(String(20))
    body: Mapped[str | None] = mapped_column(EncryptedText("notes.body"))
    data: Mapped[dict | None] = mapped_column(EncryptedJson("notes.data"))
    at: Mapped[datetime | None] = mapped_column(UtcDateTime)


@pytest.fixture(autouse=True)
def key():
    set_data_key(DataKey(bytes(range(32))))
    yield
    set_data_key(None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "notes.db"


@pytest.fixture
def engine(path):
    engine = make_engine(f"sqlite:///{path}", busy_timeout=0.2)
    OwnBase.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine):
    return make_sessions(engine)


def test_sqlite_is_durable_and_checks_references(engine):
    with engine.connect() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert values == ["wal", 2, 1, 200]


def test_the_default_wait_is_five_seconds(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    engine.dispose()


def test_encrypted_columns_come_back_and_are_unreadable_on_disk(sessions, path, engine):
    with sessions.begin() as session:
        session.add(Note(id=1, title="t", body="红旗街鑫隆旺", data={"phone": "13904321187", "n": [1, None]}))
    with sessions() as session:
        note = session.get(Note, 1)
        assert (note.body, note.data) == ("红旗街鑫隆旺", {"phone": "13904321187", "n": [1, None]})
    engine.dispose()
    stored = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"13904321187" not in stored
    assert "鑫隆旺".encode() not in stored


def test_null_stays_null(sessions, engine):
    with sessions.begin() as session:
        session.add(Note(id=1))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT body, data, at FROM notes").one() == (None, None, None)
    with sessions() as session:
        assert session.get(Note, 1).data is None


def test_a_changed_or_moved_ciphertext_fails_clearly(sessions, engine):
    with sessions.begin() as session:
        session.add(Note(id=1, body="甲", data={"a": 1}))
        session.add(Note(id=2, body="乙", data={"b": 1}))
    with engine.begin() as connection:
        sealed = bytearray(connection.exec_driver_sql("SELECT body FROM notes WHERE id = 1").scalar())
        sealed[-1] ^= 1
        connection.execute(text("UPDATE notes SET body = :b WHERE id = 1"), {"b": bytes(sealed)})
        connection.exec_driver_sql("UPDATE notes SET data = body WHERE id = 2")
    with sessions() as session, pytest.raises(Tampered, match=r"notes\.body"):
        session.get(Note, 1)
    with sessions() as session, pytest.raises(Tampered, match=r"notes\.data"):
        session.get(Note, 2)


def test_times_are_aware_in_and_utc_out(sessions):
    here = timezone(timedelta(hours=8))
    with sessions.begin() as session:
        session.add(Note(id=1, at=datetime(2026, 11, 22, 7, 4, 5, tzinfo=here)))
    with sessions() as session:
        at = session.get(Note, 1).at
    assert at == datetime(2026, 11, 21, 23, 4, 5, tzinfo=timezone.utc)
    assert at.tzinfo is timezone.utc


def test_a_naive_time_is_refused(sessions):
    with pytest.raises(StatementError, match="has no time zone"), sessions.begin() as session:
        session.add(Note(id=1, at=datetime(2026, 11, 22)))


def test_a_locked_database_is_busy_and_nothing_is_written(sessions, path):
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy, match="locked by another process"), sessions.begin() as session:
        session.add(Note(id=1, title="t"))
    other.rollback()
    assert other.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    with sessions.begin() as session:
        session.add(Note(id=1, title="t"))
    assert other.execute("SELECT count(*) FROM notes").fetchone() == (1,)
    other.close()


def test_readers_do_not_wait_for_a_writer(engine, path):
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO notes (id) VALUES (7)")
    with make_sessions(engine, read_only=True)() as session:
        assert session.get(Note, 7) is None
    other.commit()
    with make_sessions(engine, read_only=True)() as session:
        assert session.get(Note, 7) is not None
    other.close()


def test_writers_that_read_first_never_deadlock(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path / 'count.db'}", busy_timeout=30)
    OwnBase.metadata.create_all(engine)
    sessions = make_sessions(engine)
    with sessions.begin() as session:
        session.add(Note(id=1, title="0"))

    def count():
        for _ in range(10):
            with sessions.begin() as session:
                note = session.get(Note, 1)
                note.title = str(int(note.title) + 1)

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sessions() as session:
        assert session.get(Note, 1).title == "60"
    engine.dispose()


def test_a_database_that_cannot_be_opened_is_down(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path / 'missing' / 'x.db'}")
    with pytest.raises(DatabaseDown, match="SQLITE_CANTOPEN"), engine.connect():
        pass


def test_a_file_that_is_no_database_is_down(tmp_path):
    (tmp_path / "x.db").write_bytes(b"no database at all, but long enough" * 40)
    engine = make_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(DatabaseDown, match="SQLITE_NOTADB"), engine.connect():
        pass


def test_a_postgres_that_is_not_there_is_down():
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none")
    assert engine.dialect.driver == "psycopg"
    with pytest.raises(DatabaseDown, match="nothing was stored"), engine.connect():
        pass


def test_a_mistake_in_the_program_keeps_its_own_error_without_parameters(engine):
    with pytest.raises(OperationalError, match="no such table") as caught, engine.connect() as connection:
        connection.execute(text("SELECT * FROM absent WHERE a = :a"), {"a": "13904321187"})
    assert "13904321187" not in str(caught.value)


def test_upgrade_is_silent_and_may_be_repeated(tmp_path, capfd, caplog):
    url = f"sqlite:///{tmp_path / 'hotline.db'}"
    with caplog.at_level(logging.WARNING):
        upgrade(url)
        upgrade(url)
    assert (*capfd.readouterr(), caplog.text) == ("", "", "")
    engine = make_engine(url)
    assert {"cases", "case_drafts", "case_events", "case_clocks", "receipt_counters"} <= set(
        inspect(engine).get_table_names()
    )
    engine.dispose()


def test_upgrade_leaves_the_logging_of_the_process_alone(tmp_path):
    logger = logging.getLogger("bot.some.module")
    upgrade(f"sqlite:///{tmp_path / 'hotline.db'}")
    assert not logger.disabled


def test_processes_may_upgrade_at_once(tmp_path):
    url = f"sqlite:///{tmp_path / 'hotline.db'}"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=upgrade, args=(url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_a_failed_upgrade_leaves_no_table(tmp_path):
    path = tmp_path / "hotline.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE receipt_counters (x)")
    with pytest.raises(OperationalError, match="already exists"):
        upgrade(f"sqlite:///{path}")
    names = [row[0] for row in other.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    other.close()
    assert names == ["receipt_counters"]


def test_connections_that_are_all_in_use_are_a_busy_database(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path / 'x.db'}", busy_timeout=0.2)
    held = [engine.connect() for _ in range(15)]
    with pytest.raises(DatabaseBusy, match="in use"), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    for connection in held:
        connection.close()
    engine.dispose()


def test_only_the_first_writers_wait_for_a_lock_that_stays(tmp_path):
    path = tmp_path / "x.db"
    engine = make_engine(f"sqlite:///{path}", busy_timeout=2.0)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER)"))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    waits = []
    for _ in range(3):
        begun = time.monotonic()
        with pytest.raises(DatabaseBusy), engine.begin() as connection:
            connection.execute(text("INSERT INTO t VALUES (1)"))
        waits.append(time.monotonic() - begun)
    assert waits[0] >= 1.9
    assert waits[1] + waits[2] < 1.9
    holder.execute("ROLLBACK")
    holder.close()
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))
    # It is free again, and patience is back.
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 2000
    engine.dispose()
