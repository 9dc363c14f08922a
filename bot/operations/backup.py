"""Back-up and restore of everything that must not be lost: the database and the attachments.

A back-up is one sealed file (`bot.operations.archive`) with the database, the sealed attachments and a manifest: how many
rows, where the audit chain ended and whether it held. The data key is not in it: a back-up without the key tells
nobody anything, so the key is kept in another place. `restore` checks all of it before anything is replaced.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import func, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import bot.cases.models
import bot.conversations.models
import bot.desk.models
import bot.outbox.models
import bot.staff.models  # noqa: F401
from bot import audit
from bot.operations import archive, postgres, records
from bot.operations.archive import BackupError, read, room
from bot.settings import Settings
from bot.storage import MIGRATIONS, Base, StorageError, make_engine, make_sessions

SQLITE, POSTGRES = "database.sqlite", "database.dump"
# A database that holds any of these is in use; a fresh one has an account and its audit entry.
IN_USE = ("conversations", "cases")


def _is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def _sqlite_file(url: str) -> Path:
    return Path(make_url(url).database or "")


def _state(session: Session) -> dict[str, Any]:
    # A back-up of an earlier version lacks the newer tables.
    here = set(inspect(session.connection()).get_table_names())
    counts = {
        name: session.scalar(select(func.count()).select_from(table)) or 0
        for name, table in sorted(Base.metadata.tables.items())
        if name in here
    }
    revision = session.scalar(text("SELECT version_num FROM alembic_version"))
    last, digest = audit.head(session)
    broken = audit.verify(session)
    return {
        "revision": revision,
        "counts": counts,
        "audit": {"last": last, "hash": digest, "broken": str(broken) if broken else None},
    }


def _state_of(url: str) -> dict[str, Any]:
    engine = make_engine(url)
    try:
        with make_sessions(engine, read_only=True)() as session:
            return _state(session)
    finally:
        engine.dispose()


def backup(config: Settings, target: Path, now: datetime) -> tuple[Path, dict[str, Any]]:
    """Write a back-up into the folder `target`, or to the file of that name; the file's path and its manifest.

    The service may go on running: the database gives one consistent picture. A broken audit chain stops no
    back-up, it stands in the manifest (`audit.broken`). Raises `BackupError`; then nothing is left behind.
    """
    if target.is_dir():
        target = target / f"hotline-{now:%Y%m%d-%H%M%S}.tar.gz"
    with room(target.parent), tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
        work = Path(folder)
        try:
            copy = work / (SQLITE if _is_sqlite(config.database) else POSTGRES)
            state = (_copy_sqlite if copy.name == SQLITE else _copy_postgres)(config.database, copy)
        except (StorageError, SQLAlchemyError, sqlite3.Error) as error:
            if "full" in str(error):
                raise BackupError(f"There is no room left in {target.parent}: free some space.") from error
            raise BackupError(f"The database cannot be copied: {_first_line(error)}") from error
        facts = {**state, "created_at": now.isoformat(timespec="seconds"), "database": copy.name}
        half = work / "half.tar.gz"
        # After the database: every attachment that a row of the copy names is there by now.
        manifest = archive.write(half, facts, {copy.name: copy} | _attachments(config, work))
        # Whoever finds the file finds a whole one.
        os.replace(half, target)
        _sync(target.parent)
    records.note(config.home_dir, records.BACKUP, now, path=str(target), bytes=target.stat().st_size)
    records.note(config.home_dir, records.AUDIT, now, broken=state["audit"]["broken"])
    return target, manifest


def prune(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep` back-ups of a folder, told by their names; what was removed."""
    # The name holds the time: sorted by name is sorted by age. Other files are nobody's business here.
    old = sorted(folder.glob("hotline-[0-9]*-[0-9]*.tar.gz"))[:-keep] if keep else []
    for path in old:
        path.unlink()
    return old


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _copy_sqlite(url: str, copy: Path) -> dict[str, Any]:
    source = _sqlite_file(url)
    if not source.exists():
        raise BackupError(f"There is no database {source}.")
    with sqlite3.connect(source) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    connection.close()
    state = _state_of(f"sqlite:///{copy}")
    _without_log(copy)
    return state


def _copy_postgres(url: str, copy: Path) -> dict[str, Any]:
    engine = make_engine(url).execution_options(isolation_level="REPEATABLE READ")
    try:
        # What is counted and what is dumped is the same moment: pg_dump takes over this transaction's snapshot.
        with Session(engine) as session:
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            snapshot = str(session.scalar(text("SELECT pg_export_snapshot()")))
            state = _state(session)
            postgres.dump(url, copy, snapshot)
    finally:
        engine.dispose()
    return state


def _attachments(config: Settings, work: Path) -> dict[str, Path]:
    """Links to the files: one that is erased meanwhile (retention) must not break the back-up."""
    folder = config.home_dir / "attachments"
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        kept = work / f"attachment-{path.name}"
        try:
            os.link(path, kept)
        except FileNotFoundError:
            continue
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, kept)
        found[f"attachments/{path.name}"] = kept
    return found


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _without_log(copy: Path) -> None:
    for left in ("-wal", "-shm"):
        Path(f"{copy}{left}").unlink(missing_ok=True)


def _holds(url: str) -> str:
    """What a database in place holds, in words; empty when nothing. Raises `BackupError` when nobody can tell."""
    if _is_sqlite(url) and not _sqlite_file(url).exists():
        return ""  # Asking would make an empty one.
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            here = inspect(connection).get_table_names()
            counts = {
                name: connection.scalar(text(f"SELECT count(*) FROM {name}"))
                for name in IN_USE
                if name in here
            }
    except (StorageError, SQLAlchemyError) as error:
        raise BackupError(f"The database in place cannot be read: {_first_line(error)}") from error
    finally:
        engine.dispose()
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _others(url: str) -> int:
    """How many programs are connected to a PostgreSQL database."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return int(
                connection.scalar(
                    text(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                    )
                )
                or 0
            )
    finally:
        engine.dispose()


def _known_revision(revision: str) -> bool:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return any(script.revision == revision for script in ScriptDirectory.from_config(config).walk_revisions())


def _check(manifest: dict[str, Any], state: dict[str, Any]) -> None:
    for what in ("revision", "counts", "audit"):
        if state[what] != manifest[what]:
            raise BackupError(f"The {what} of the database are not those of the manifest.")


def restore(
    config: Settings, path: Path, *, force: bool = False, broken_audit: bool = False
) -> dict[str, Any]:
    """Put a back-up in place of the present database and attachments; its manifest.

    The service must not run. A database in use is replaced only with `force`; SQLite's is kept beside the new one
    as `….before-restore`. A back-up whose audit chain was broken when it was made is taken only with
    `broken_audit`. A back-up of an earlier version is restored as it is: `hotline db upgrade` comes after.
    Raises `BackupError` before anything is changed.
    """
    url = config.database
    if (held := _holds(url)) and not force:
        raise BackupError(f"The database in place holds {held}; use --force to replace it.")
    with (
        room(config.home_dir),
        tempfile.TemporaryDirectory(dir=config.home_dir, prefix=".restore-") as name,
    ):
        folder = Path(name)
        manifest = read(path, folder)
        copy = folder / manifest["database"]
        if _is_sqlite(url) != (copy.name == SQLITE):
            raise BackupError("The back-up is of another kind of database than HOTLINE_DATABASE_URL names.")
        if not _known_revision(manifest["revision"]):
            raise BackupError("The back-up was made by a newer version of this program: install that first.")
        if manifest["audit"]["broken"] and not broken_audit:
            raise BackupError(
                f"{manifest['audit']['broken']} It was so when the back-up was made; "
                "use --broken-audit to restore it all the same."
            )
        if copy.name == SQLITE:
            _check(manifest, _state_of(f"sqlite:///{copy}"))
            _put_in_place(copy, _sqlite_file(url))
        else:
            if others := _others(url):
                raise BackupError(
                    f"{others} programs are connected to the database: stop gateways and desk first."
                )
            postgres.load(url, copy)
            _check(manifest, _state_of(url))
        target = config.home_dir / "attachments"
        if (folder / "attachments").is_dir():
            target.mkdir(mode=0o700, exist_ok=True)
            for file in (folder / "attachments").iterdir():
                os.replace(file, target / file.name)
    return manifest


def _put_in_place(copy: Path, target: Path) -> None:
    _without_log(copy)
    # The database may lie on another file system than the home.
    near = target.with_name(f"{target.name}.restoring")
    shutil.copyfile(copy, near)
    near.chmod(0o600)
    if target.exists():
        # What the write-ahead log still holds belongs to the old file.
        with sqlite3.connect(target) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        os.replace(target, f"{target}.before-restore")
        _without_log(target)
    os.replace(near, target)
    _sync(target.parent)


__all__ = ["BackupError", "backup", "prune", "read", "restore"]
