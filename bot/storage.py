"""The database: engine, sessions, column types and migrations, for SQLite and PostgreSQL alike."""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
import time
from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from prometheus_client import Counter
from sqlalchemy import DateTime, Engine, LargeBinary, MetaData, create_engine, event
from sqlalchemy.engine import URL, Connection, Dialect, ExceptionContext, make_url
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.types import TypeDecorator

from bot.crypto import data_key

MIGRATIONS = Path(__file__).resolve().parent / "migrations"


ERRORS = Counter(
    "hotline_database_errors_total",
    "Statements that failed for want of the database: busy or down",
    ["error"],
)


class StorageError(Exception):
    """Base of the database errors a caller can act on: nothing of the transaction was stored."""


class DatabaseBusy(StorageError):
    """Another process held the database for longer than the busy time-out. Trying again may work."""


class DatabaseDown(StorageError):
    """The database cannot be reached or written. A person has to look."""


class Base(DeclarativeBase):
    """Parent of every table. Named constraints let a migration drop them on both databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in, an aware UTC time out. A naive time is refused: nobody knows its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(timezone.utc)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)


class EncryptedText(TypeDecorator[str]):
    """Text that is sealed with the process-wide data key before it reaches the database.

    `column` ("table.column") is authenticated with it: a value copied into another column does not open.
    Reading a changed value raises `bot.crypto.Tampered`.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, column: str) -> None:
        super().__init__()
        self.column = column

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else data_key().encrypt(value, self.column)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else data_key().decrypt(bytes(value), self.column).decode()


class EncryptedJson(TypeDecorator[Any]):
    """A JSON value, sealed like `EncryptedText`. Assign a new value: a change inside it goes unnoticed."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, column: str) -> None:
        super().__init__()
        self.column = column

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        return data_key().encrypt(json.dumps(value, ensure_ascii=False, sort_keys=True), self.column)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(data_key().decrypt(bytes(value), self.column))


class _Pool(QueuePool):
    """SQLAlchemy's pool, whose exhaustion is a busy database to callers, not a mistake of ours."""

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return super()._do_get()
        except PoolTimeout:
            raise DatabaseBusy("All connections to the database are in use; nothing was stored.") from None


def _url(url: str) -> URL:
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def make_engine(url: str, *, busy_timeout: float = 5.0) -> Engine:
    """An engine for `url`: `sqlite:///file` or `postgresql://…` (psycopg).

    `busy_timeout` (seconds) bounds the wait for another writer. Raises `DatabaseBusy` or `DatabaseDown` in
    place of the driver's error when a statement fails for a reason outside the program. Errors never show
    parameters.
    """
    parsed = _url(url)
    if parsed.get_backend_name() == "sqlite":
        # A database in memory is its one connection: it keeps the pool that SQLAlchemy has for it.
        in_file = parsed.database not in (None, "", ":memory:")
        pool: dict[str, Any] = {"poolclass": _Pool, "pool_timeout": busy_timeout} if in_file else {}
        engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": busy_timeout}, **pool)
        event.listen(engine, "do_connect", _make_private)
        event.listen(engine, "connect", _prepare_sqlite)
        _queue_writers(engine, _writers[parsed.database or ""], busy_timeout)
    else:
        wait = f"-c lock_timeout={int(busy_timeout * 1000)} -c timezone=UTC"
        engine = create_engine(
            parsed,
            hide_parameters=True,
            poolclass=_Pool,
            pool_timeout=busy_timeout,
            pool_pre_ping=True,
            connect_args={"connect_timeout": max(2, int(busy_timeout)), "options": wait},
        )
    event.listen(engine, "handle_error", _explain, retval=True)
    return engine


def _make_private(_dialect: Any, _record: Any, arguments: Any, _parameters: Any) -> None:
    # SQLite makes a new file, and later those beside it, readable for everybody on the machine.
    path = str(arguments[0]) if arguments else ""
    if path and path != ":memory:" and not path.startswith("file:"):
        with contextlib.suppress(OSError):  # It is there, or SQLite itself says what is wrong.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not open transactions by itself: it would begin them DEFERRED, and two of those that
    # both read and then write cannot be resolved by waiting.
    connection.isolation_level = None
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


# One lock a database file: see `_queue_writers`.
_writers: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
IMPATIENT = 0.1  # seconds that a writer waits while another process is known to hold the database
KNOWN = 30.0  # seconds for which that is known


def _queue_writers(engine: Engine, lock: threading.Lock, patience: float) -> None:
    """Let this process write one transaction at a time.

    SQLite has one writer anyway, but lets the others look again at growing intervals: with many conversations each
    waits tens of milliseconds for a lock that was free after one. Other processes are still waited for its way, but by
    the first writers alone: each that waits holds a thread, and those behind them, readers too, would wait for that.
    """
    locked_at = float("-inf")

    def wait() -> float:
        known = time.monotonic() - locked_at < KNOWN
        return min(IMPATIENT, patience) if known else patience

    def begin(connection: Connection) -> None:
        nonlocal locked_at
        if connection.get_execution_options().get("read_only"):
            connection.exec_driver_sql("BEGIN")
            return
        if not lock.acquire(timeout=wait()):
            raise DatabaseBusy("The database is locked by another transaction; nothing was stored.")
        # The record's info outlives a connection that breaks and is made again.
        connection.connection.record_info["writes"] = True  # type: ignore[index]
        if connection.info.get("patience") != (own := int(wait() * 1000)):
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {own}")
            connection.info["patience"] = own
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except DatabaseBusy:
            locked_at = time.monotonic()
            raise
        locked_at = float("-inf")

    def checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        if (record.record_info or {}).pop("writes", False):
            lock.release()

    event.listen(engine, "begin", begin)
    event.listen(engine, "checkin", checkin)


_SQLITE_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_SQLITE_DOWN = (
    "SQLITE_FULL",
    "SQLITE_READONLY",
    "SQLITE_IOERR",
    "SQLITE_CANTOPEN",
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
)
# 55P03 lock_not_available, 40P01 deadlock_detected, 40001 serialization_failure, 57014 query_canceled.
_POSTGRES_BUSY = ("55P03", "40P01", "40001", "57014")
# 08 connection, 53 resources, 57P operator intervention, 58 system error, 25006 read-only transaction.
_POSTGRES_DOWN = ("08", "53", "57P", "58", "25006")


def _explain(context: ExceptionContext) -> BaseException | None:
    if context.is_pre_ping:
        # A connection of the pool that broke while it lay idle; the pool makes another one, nobody has to know.
        return None
    error = context.original_exception
    name = getattr(error, "sqlite_errorname", None) or ""
    state = getattr(error, "sqlstate", None) or ""
    if name.startswith(_SQLITE_BUSY) or state in _POSTGRES_BUSY:
        ERRORS.labels("busy").inc()
        return DatabaseBusy("The database is locked by another process; nothing was stored.")
    unreachable = type(error).__module__.startswith("psycopg") and type(error).__name__ == "OperationalError"
    if name.startswith(_SQLITE_DOWN) or state.startswith(_POSTGRES_DOWN) or unreachable:
        ERRORS.labels("down").inc()
        return DatabaseDown(
            f"The database cannot be used ({name or state or 'no connection'}); nothing was stored."
        )
    return None


def make_sessions(engine: Engine, *, read_only: bool = False) -> sessionmaker[Session]:
    """A factory of sessions; `with sessions.begin() as session:` commits or rolls back at its end.

    On SQLite a session takes the write lock with its first statement (BEGIN IMMEDIATE), so that a
    transaction never fails half-way for want of it. `read_only=True` takes none: for lists and look-ups.
    """
    if read_only:
        engine = engine.execution_options(read_only=True, postgresql_readonly=True)
    return sessionmaker(engine, expire_on_commit=False)


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to `revision`, silently. Safe to call from several processes at once."""
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    command.upgrade(config, revision)
