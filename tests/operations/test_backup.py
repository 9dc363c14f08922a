"""A back-up restores what was there, and nothing that is damaged, foreign or in use replaces anything."""

import base64
import json
import os
import sqlite3
import subprocess
import sys
import tarfile

import pytest
from sqlalchemy import func, select

from bot import audit
from bot.conversations.models import Conversation, Message
from bot.crypto import DataKey, set_data_key
from bot.operations import archive, records
from bot.operations.backup import BackupError, backup, prune, read, restore
from bot.settings import ROOT, Settings
from tests.cases.conftest import NOW


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
    """The path of a back-up: a folder, or the file itself."""
    return backup(hotline.config, tmp_path, hotline.clock())[0]


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
    """The same file, changed and packed again; its seal is not made anew."""
    folder = tmp_path / "unpacked"
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
    change(folder)
    with tarfile.open(path, "w:gz") as tar:
        for name in sorted(os.listdir(folder)):
            tar.add(folder / name, name)
    return path


def manifest_with(folder, **facts):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def forged(folder):
    """A database in which somebody has removed the last audit entry, with a manifest that fits it."""
    connection = sqlite3.connect(folder / "database.sqlite")
    connection.execute("DROP TRIGGER audit_log_no_delete")
    connection.execute("DELETE FROM audit_log")
    connection.commit()
    connection.close()
    counts = json.loads((folder / "manifest.json").read_text())["counts"] | {"audit_log": 0}
    manifest_with(folder, counts=counts, audit={"last": 0, "hash": audit.GENESIS, "broken": None})


def short(folder):
    counts = json.loads((folder / "manifest.json").read_text())["counts"]
    manifest_with(folder, counts=counts | {"messages": counts["messages"] + 1})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (forged, "audit of the database are not those"),
        (short, "counts of the database are not those"),
        (lambda folder: manifest_with(folder, format=99), "format 99; this version reads 2"),
        (lambda folder: (folder / "manifest.json").unlink(), "no back-up"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "no back-up"),
    ],
)
async def test_what_is_damaged_replaces_nothing(used, tmp_path, monkeypatch, change, says):
    path = repacked(made(used, tmp_path), change, tmp_path)
    other = elsewhere(tmp_path, monkeypatch)
    with pytest.raises(BackupError, match="it has no seal"):
        restore(other, path)
    # The same by somebody who has the data key as well.
    archive.seal(path)
    with pytest.raises(BackupError, match=says):
        restore(other, path)
    assert not (other.home_dir / "hotline.db").exists()


async def test_the_seal_of_one_file_fits_no_other(used, tmp_path, monkeypatch):
    one, two = made(used, tmp_path).read_bytes(), made(used, tmp_path / "two.tar.gz").read_bytes()
    (tmp_path / "mixed").write_bytes(one[: -archive._SEAL_BYTES] + two[-archive._SEAL_BYTES :])
    with pytest.raises(BackupError, match="its seal does not fit"):
        restore(elsewhere(tmp_path, monkeypatch), tmp_path / "mixed")


async def test_tar_reads_it_like_any_other_archive(used, tmp_path):
    listed = subprocess.run(["tar", "tzf", made(used, tmp_path)], capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines() == ["manifest.json", "database.sqlite", "attachments/a1"]


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
    archive.seal(evil)
    with pytest.raises(BackupError, match="outside"):
        read(evil, tmp_path / "in")
    assert not (tmp_path.parent / "outside").exists()


async def test_the_other_kind_of_database_is_said(used, tmp_path, monkeypatch):
    monkeypatch.setattr("bot.operations.backup._holds", lambda url: "")
    path = made(used, tmp_path)
    monkeypatch.setenv("HOTLINE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(BackupError, match="another kind"):
        restore(elsewhere(tmp_path, monkeypatch), path)


async def test_every_byte_counts(used, tmp_path, monkeypatch):
    path = made(used, tmp_path)
    whole = path.read_bytes()
    other = elsewhere(tmp_path, monkeypatch)
    places = {
        *range(10),
        *range(10, len(whole), max(1, len(whole) // 60)),
        *range(len(whole) - 8, len(whole)),
    }
    for place in sorted(places):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BackupError):
            restore(other, path)
    for short in (whole[:-1], whole[: len(whole) // 2], whole + b"x"):
        path.write_bytes(short)
        with pytest.raises(BackupError, match="damaged"):
            restore(other, path)
    for bit in range(8):
        place = len(whole) // 3
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
        with pytest.raises(BackupError, match="damaged or was changed"):
            restore(other, path)
    assert not (other.home_dir / "hotline.db").exists()
    path.write_bytes(whole)
    restore(other, path)


async def test_a_broken_chain_stops_no_back_up_and_is_told_before_it_is_restored(used, tmp_path, monkeypatch):
    connection = sqlite3.connect(used.config.home_dir / "hotline.db")
    connection.execute("DROP TRIGGER audit_log_no_update")
    connection.execute("UPDATE audit_log SET actor = 'staff:li'")
    connection.commit()
    connection.close()
    path, manifest = backup(used.config, tmp_path, used.clock())
    assert manifest["audit"]["broken"] == "The audit log is broken at entry 1: it was changed."
    other = elsewhere(tmp_path, monkeypatch)
    with pytest.raises(BackupError, match=r"entry 1.*--broken-audit"):
        restore(other, path)
    assert not (other.home_dir / "hotline.db").exists()
    restore(other, path, broken_audit=True)
    assert contents(other)[0] == [1, 3]


async def test_a_back_up_of_an_earlier_version_waits_for_its_upgrade(tmp_path, monkeypatch, deployment):
    from bot.storage import upgrade

    (tmp_path / "old").mkdir()
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path / "old"))
    old = Settings()
    upgrade(old.database, "0004")
    path, manifest = backup(old, tmp_path, NOW)
    other = elsewhere(tmp_path, monkeypatch)
    assert restore(other, path)["revision"] == manifest["revision"] == "0004"
    upgrade(other.database)
    assert contents(other)[2] is None


async def test_a_back_up_of_a_newer_version_is_refused(used, tmp_path, monkeypatch):
    with sqlite3.connect(used.config.home_dir / "hotline.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(BackupError, match="newer version"):
        restore(elsewhere(tmp_path, monkeypatch), made(used, tmp_path))


async def test_it_is_noted_when_the_last_one_was_made(used, tmp_path):
    path = made(used, tmp_path)
    noted = records.last(used.config.home_dir, records.BACKUP)
    assert (noted["at"], noted["path"], noted["bytes"]) == (used.clock(), str(path), path.stat().st_size)
    assert records.last(used.config.home_dir, records.AUDIT)["broken"] is None


@pytest.mark.parametrize("text", ["", "[]", '{"at": "yesterday"}', '{"at": "2026-11-22T15:04:00"}'])
def test_a_note_that_cannot_be_read_is_none(tmp_path, text):
    (tmp_path / records.BACKUP).write_text(text)
    assert records.last(tmp_path, records.BACKUP) is None


def test_old_back_ups_go_and_other_files_stay(tmp_path):
    names = [f"hotline-2026112{n}-030000.tar.gz" for n in range(5)]
    for name in [*names, "hotline-by-hand.tar.gz", "notes.txt"]:
        (tmp_path / name).touch()
    assert [path.name for path in prune(tmp_path, 2)] == names[:3]
    assert {p.name for p in tmp_path.iterdir()} == {*names[3:], "hotline-by-hand.tar.gz", "notes.txt"}
    assert prune(tmp_path, 0) == []


def hotline_command(*arguments, home, **environment):
    """`hotline …` as an operator runs it: (exit code, what it says on standard error)."""
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", *map(str, arguments)],
        env=os.environ | {"HOTLINE_HOME": str(home), "HOTLINE_PORT": "1", "HOTLINE_DESK_PORT": "1"} | environment,
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.fixture
def own_key(used):
    """The key of the tests in the home, for a command in a process of its own."""
    path = used.config.home_dir / "data.key"
    path.write_bytes(base64.b64encode(bytes(range(32))))
    path.chmod(0o600)
    return used


async def test_the_commands_and_their_exit_codes(own_key, tmp_path):
    home = own_key.config.home_dir
    assert hotline_command("backup", tmp_path / "b.tar.gz", home=home) == (0, "")
    code, said = hotline_command("restore", tmp_path / "b.tar.gz", home=home)
    assert (code, said) == (1, "The database in place holds 1 conversations; use --force to replace it.\n")
    assert hotline_command("restore", "--force", tmp_path / "b.tar.gz", home=home) == (0, "")
    code, said = hotline_command("restore", tmp_path / "none.tar.gz", home=tmp_path / "elsewhere")
    assert (code, said) == (1, f"There is no file {tmp_path}/none.tar.gz.\n")
    code, said = hotline_command("backup", tmp_path / "no" / "such" / "b.tar.gz", home=home)
    assert code == 1 and said.endswith("No such file or directory\n") and said.count("\n") == 1
    code, said = hotline_command("backup", tmp_path, home=tmp_path / "empty")
    assert (code, said) == (1, f"There is no database {tmp_path}/empty/hotline.db.\n")


FULL = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size})); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


def with_little_room(size, *arguments, home):
    """The command where no file may grow over `size` bytes: what a full disk is, without one."""
    done = subprocess.run(
        [sys.executable, "-c", FULL.format(size=size), "-m", "bot.cli", *map(str, arguments)],
        env=os.environ | {"HOTLINE_HOME": str(home), "HOTLINE_PORT": "1", "HOTLINE_DESK_PORT": "1"},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


async def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(own_key, tmp_path):
    home, there = own_key.config.home_dir, tmp_path / "there"
    there.mkdir()
    (home / "attachments" / "a2").write_bytes(os.urandom(3_000_000))
    database = (home / "hotline.db").stat().st_size
    for size in (database // 2, 2_000_000):  # no room for the database's copy; none for the archive
        assert size > database or size < 1_000_000
        code, said = with_little_room(size, "backup", there, home=home)
        assert code == 1 and said.count("\n") == 1, said
        assert list(there.iterdir()) == []
    assert said == f"There is no room left in {there}: free some space and try again.\n"
    path = backup(own_key.config, there, NOW)[0]
    code, said = with_little_room(2_000_000, "restore", "--force", path, home=home)
    assert (code, said) == (1, f"There is no room left in {home}: free some space and try again.\n")
    assert contents(own_key.config)[0] == [1, 3]
    assert [p.name for p in home.iterdir() if p.name.startswith(".restore")] == []
