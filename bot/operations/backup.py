"""Back-up and restore of everything that must not be lost: the database and the attachments.

A back-up is one tar file: `manifest.json` (what it is, how many rows, where the audit chain ended, a checksum of
every file), the database and the sealed attachments. The data key is not in it: a back-up without the key tells
nobody anything, so the key is kept in another place. `restore` checks all of it before anything is replaced.
"""

from __future__ import annotations

import glob
import hashlib
import hmac
import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select, text
from sqlalchemy.engine import make_url

import bot.cases.models
import bot.conversations.models
import bot.desk.models
import bot.outbox.models
import bot.staff.models  # noqa: F401
from bot import audit
from bot.crypto import data_key
from bot.settings import Settings
from bot.storage import Base, make_engine, make_sessions

FORMAT = 1
SQLITE, POSTGRES = "database.sqlite", "database.dump"


class BackupError(Exception):
    """A back-up cannot be made or restored; nothing was changed. The message is for the operator."""


def _tool(name: str) -> str:
    # Debian keeps PostgreSQL's programs of each version in a folder of its own.
    found = shutil.which(name) or next(
        iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None
    )
    if not found:
        raise BackupError(f"{name} is not on this machine: install PostgreSQL's client programs.")
    return found


def _run(command: list[str], url: str) -> None:
    parsed = make_url(url)
    # The password goes by environment: other users of the machine can read a command line.
    environment = os.environ | ({"PGPASSWORD": parsed.password} if parsed.password else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-400:]}")


def _plain_url(url: str) -> str:
    return make_url(url).set(drivername="postgresql", password=None).render_as_string(hide_password=False)


def _is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def _sqlite_file(url: str) -> Path:
    return Path(make_url(url).database or "")


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_mark() -> str:
    """Tells whether two deployments have the same data key, and nothing about the key."""
    return data_key().keyed_hash("backup", "mark")[:16]


def _state(engine: Engine) -> dict[str, Any]:
    with make_sessions(engine, read_only=True)() as session:
        counts = {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in sorted(Base.metadata.tables.items())
        }
        revision = session.scalar(text("SELECT version_num FROM alembic_version"))
        last, digest = audit.head(session)
    return {"revision": revision, "counts": counts, "audit": {"last": last, "hash": digest}}


def backup(config: Settings, target: Path, now: datetime) -> Path:
    """Write a back-up into the folder `target`, or to the file of that name; the path of the file.

    The service may go on running: the database gives one consistent picture. Raises `BackupError`.
    """
    if target.is_dir():
        target = target / f"hotline-{now:%Y%m%d-%H%M%S}.tar.gz"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
        work = Path(folder)
        url = config.database
        if _is_sqlite(url):
            copy = work / SQLITE
            with sqlite3.connect(_sqlite_file(url)) as connection:
                connection.execute("VACUUM INTO ?", (str(copy),))
            engine = make_engine(f"sqlite:///{copy}")
            state = _state(engine)
            engine.dispose()
            for left in ("-wal", "-shm"):
                Path(f"{copy}{left}").unlink(missing_ok=True)
        else:
            engine = make_engine(url)
            state = _state(engine)
            engine.dispose()
            copy = work / POSTGRES
            _run(
                [_tool("pg_dump"), "--format=custom", "--no-owner", "--file", str(copy), _plain_url(url)], url
            )
        files = {copy.name: copy}
        # After the database: every attachment that a row of the copy names is there by now.
        attachments = config.home_dir / "attachments"
        if attachments.is_dir():
            files |= {f"attachments/{p.name}": p for p in sorted(attachments.iterdir()) if p.is_file()}
        manifest = state | {
            "format": FORMAT,
            "created_at": now.isoformat(timespec="seconds"),
            "database": copy.name,
            "key": key_mark(),
            "files": {name: _sum(path) for name, path in files.items()},
        }
        half = work / "half.tar.gz"
        with tarfile.open(half, "w:gz", compresslevel=6) as tar:
            data = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
            entry = tarfile.TarInfo("manifest.json")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
            for name, path in files.items():
                tar.add(path, name)
        half.chmod(0o600)
        # Whoever finds the file finds a whole one.
        os.replace(half, target)
    return target


def read(path: Path, folder: Path) -> dict[str, Any]:
    """Unpack a back-up into `folder` and check it; its manifest. Raises `BackupError`."""
    try:
        with tarfile.open(path) as tar:
            tar.extractall(folder, filter="data")
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, tarfile.TarError, EOFError, ValueError, KeyError) as error:
        raise BackupError(f"{path} is no back-up, or a damaged one: {error}") from error
    if manifest.get("format") != FORMAT:
        raise BackupError(f"{path} has format {manifest.get('format')!r}; this version reads {FORMAT}.")
    for name, digest in manifest["files"].items():
        file = folder / name
        if not file.is_file() or not hmac.compare_digest(_sum(file), digest):
            raise BackupError(f"{name} in {path} is missing or changed.")
    if manifest["key"] != key_mark():
        raise BackupError("This back-up was made with another data key: put that key in place first.")
    return manifest


def _check(manifest: dict[str, Any], engine: Engine) -> None:
    state = _state(engine)
    for what in ("revision", "audit", "counts"):
        if what == "counts" and manifest["database"] == POSTGRES:
            # pg_dump's picture may be some transactions newer than the counts: nothing may be missing.
            less = [n for n, count in manifest["counts"].items() if state["counts"].get(n, 0) < count]
            if less:
                raise BackupError(f"Rows are missing in {', '.join(less)}.")
        elif what == "audit" and manifest["database"] == POSTGRES:
            continue
        elif state[what] != manifest[what]:
            raise BackupError(f"The {what} of the database are not those of the manifest.")
    with make_sessions(engine, read_only=True)() as session:
        broken = audit.verify(session)
    if broken:
        raise BackupError(str(broken))


def _in_use(config: Settings) -> bool:
    if _is_sqlite(config.database) and not _sqlite_file(config.database).exists():
        return False  # Asking would make an empty one.
    engine = make_engine(config.database)
    try:
        with engine.connect() as connection:
            return bool(connection.execute(text("SELECT count(*) FROM conversations")).scalar())
    except Exception:
        return False  # No database, or none of ours.
    finally:
        engine.dispose()


def restore(config: Settings, path: Path, *, force: bool = False) -> dict[str, Any]:
    """Put a back-up in place of the present database and attachments; its manifest.

    The service must not run. A database that holds conversations is replaced only with `force`; SQLite's is kept
    beside the new one as `….before-restore`. Raises `BackupError` before anything is changed.
    """
    if not force and _in_use(config):
        raise BackupError("The database in place holds conversations; use --force to replace it.")
    with tempfile.TemporaryDirectory(dir=config.home_dir, prefix=".restore-") as name:
        folder = Path(name)
        manifest = read(path, folder)
        copy = folder / manifest["database"]
        if _is_sqlite(config.database) != (manifest["database"] == SQLITE):
            raise BackupError("The back-up is of another kind of database than HOTLINE_DATABASE_URL names.")
        if _is_sqlite(config.database):
            engine = make_engine(f"sqlite:///{copy}")
            _check(manifest, engine)
            engine.dispose()
            _put_in_place(copy, _sqlite_file(config.database))
        else:
            _run(
                [
                    _tool("pg_restore"), "--clean", "--if-exists", "--no-owner", "--single-transaction",
                    "--exit-on-error", "--dbname", _plain_url(config.database), str(copy),
                ],
                config.database,
            )  # fmt: skip
            engine = make_engine(config.database)
            _check(manifest, engine)
            engine.dispose()
        target = config.home_dir / "attachments"
        if (folder / "attachments").is_dir():
            target.mkdir(mode=0o700, exist_ok=True)
            for file in (folder / "attachments").iterdir():
                os.replace(file, target / file.name)
    return manifest


def _put_in_place(copy: Path, target: Path) -> None:
    for left in ("-wal", "-shm"):
        Path(f"{copy}{left}").unlink(missing_ok=True)
    if target.exists():
        # What the write-ahead log still holds belongs to the old file.
        with sqlite3.connect(target) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        os.replace(target, f"{target}.before-restore")
        for left in ("-wal", "-shm"):
            Path(f"{target}{left}").unlink(missing_ok=True)
    os.replace(copy, target)
