"""A back-up restores what was there, and nothing that is damaged, foreign or in use replaces anything."""

import json
import os
import shutil
import sqlite3
import tarfile

import pytest
from sqlalchemy import func, select

from bot import audit
from bot.conversations.models import Conversation, Message
from bot.crypto import DataKey, set_data_key
from bot.operations.backup import BackupError, backup, read, restore
from bot.settings import Settings


@pytest.fixture
async def used(hotline):
    """A deployment with a conversation, an audit entry and an attachment."""
    talk = await hotline.open()
    await talk.say("电梯维保能延长吗")
    with hotline.sessions.begin() as session:
        audit.record(session, "staff:wang", "case.unmask", "case:JL-T-261122-00001-4", now=hotline.clock())
    folder = hotline.config.home_dir / "attachments"
    folder.mkdir()
    (folder / "a1").write_bytes(b"sealed")
    return hotline


def made(hotline, tmp_path):
    return backup(hotline.config, tmp_path, hotline.clock())


def elsewhere(tmp_path, monkeypatch):
    """Settings of a machine on which nothing is yet."""
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path / "other"))
    return Settings()


def contents(config):
    from bot.storage import make_engine, make_sessions

    engine = make_engine(config.database)
    with make_sessions(engine, read_only=True)() as session:
        found = [session.scalar(select(func.count()).select_from(t)) for t in (Conversation, Message)]
        texts = [m.body for m in session.scalars(select(Message).order_by(Message.seq))]
        broken = audit.verify(session)
    engine.dispose()
    return found, texts, broken


async def test_a_back_up_restores_on_an_empty_machine(used, tmp_path, monkeypatch):
    path = made(used, tmp_path)
    assert path.stat().st_mode & 0o077 == 0
    other = elsewhere(tmp_path, monkeypatch)
    manifest = restore(other, path)
    assert manifest["counts"]["messages"] == 3
    counts, texts, broken = contents(other)
    assert (counts, texts[1], broken) == ([1, 3], "电梯维保能延长吗", None)
    assert (other.home_dir / "attachments" / "a1").read_bytes() == b"sealed"


async def test_it_is_taken_while_somebody_writes(used, tmp_path, monkeypatch):
    connection = sqlite3.connect(used.config.home_dir / "hotline.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE conversations SET owner_name = 'half written'")
    path = made(used, tmp_path)
    connection.execute("ROLLBACK")
    other = elsewhere(tmp_path, monkeypatch)
    restore(other, path)
    assert contents(other)[0] == [1, 3]


async def test_a_database_in_use_is_replaced_only_by_force_and_kept(used, tmp_path):
    path = made(used, tmp_path)
    await (await used.open()).say("后来的消息")
    with pytest.raises(BackupError, match="--force"):
        restore(used.config, path)
    used.close()
    restore(used.config, path, force=True)
    assert contents(used.config)[0] == [1, 3]
    kept = sqlite3.connect(used.config.home_dir / "hotline.db.before-restore")
    assert kept.execute("SELECT count(*) FROM messages").fetchone() == (6,)


def repacked(path, change, tmp_path):
    folder = tmp_path / "unpacked"
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
    change(folder)
    with tarfile.open(path, "w:gz") as tar:
        for name in sorted(os.listdir(folder)):
            tar.add(folder / name, name)
    return path


def forged(folder):
    """A database in which somebody has removed the last audit entry, with a manifest that fits it."""
    import hashlib

    database = folder / "database.sqlite"
    connection = sqlite3.connect(database)
    connection.execute("DROP TRIGGER audit_log_no_delete")
    connection.execute("DELETE FROM audit_log")
    connection.commit()
    connection.close()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["counts"]["audit_log"] = 0
    manifest["audit"] = {"last": 0, "hash": audit.GENESIS}
    manifest["files"]["database.sqlite"] = hashlib.sha256(database.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def changed(folder):
    with (folder / "database.sqlite").open("r+b") as file:
        file.seek(5000)
        file.write(b"x")


def newer(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))


def short(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["counts"]["messages"] += 1
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (forged, "audit log is broken"),
        (changed, "missing or changed"),
        (newer, "format 99"),
        (short, "counts"),
        (lambda folder: (folder / "attachments" / "a1").unlink(), "missing or changed"),
        (lambda folder: (folder / "manifest.json").unlink(), "no back-up"),
    ],
)
async def test_what_is_damaged_replaces_nothing(used, tmp_path, monkeypatch, change, says):
    path = repacked(made(used, tmp_path), change, tmp_path)
    other = elsewhere(tmp_path, monkeypatch)
    with pytest.raises(BackupError, match=says):
        restore(other, path)
    assert not (other.home_dir / "hotline.db").exists()


async def test_another_data_key_is_noticed_before_anything_is_replaced(used, tmp_path, monkeypatch):
    path = made(used, tmp_path)
    set_data_key(DataKey(bytes(32)))
    with pytest.raises(BackupError, match="another data key"):
        restore(elsewhere(tmp_path, monkeypatch), path)


def test_what_is_no_back_up_is_said(tmp_path):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(b"no tar")
    with pytest.raises(BackupError, match="no back-up"):
        read(path, tmp_path)


async def test_a_tar_cannot_write_outside_its_folder(used, tmp_path):
    path = made(used, tmp_path)
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(evil, "w:gz") as tar:
        tar.add(path, "../../outside")
    with pytest.raises(BackupError):
        read(evil, tmp_path / "in")
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.skipif(
    not shutil.which("pg_dump") and not os.path.isdir("/usr/lib/postgresql"), reason="PostgreSQL"
)
async def test_the_other_kind_of_database_is_said(used, tmp_path, monkeypatch):
    path = made(used, tmp_path)
    monkeypatch.setenv("HOTLINE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(BackupError, match="another kind"):
        restore(elsewhere(tmp_path, monkeypatch), path)
