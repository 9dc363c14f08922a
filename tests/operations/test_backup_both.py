"""Back-up and restore of a deployment that is in use, on SQLite and on a real PostgreSQL."""

import os
import subprocess
import threading
from dataclasses import dataclass

import pytest
from sqlalchemy import select, text, update

from bot import audit
from bot.cases.models import Case
from bot.conversations import attachments, log
from bot.conversations.models import Conversation, Message
from bot.crypto import DataKey, set_data_key
from bot.operations import postgres as programs
from bot.operations.archive import BackupError, read
from bot.operations.backup import backup, restore
from bot.outbox.models import Delivery
from bot.settings import Settings
from bot.storage import make_engine, make_sessions
from tests.cases.conftest import NOW, own_database
from tests.cases.filing import ANONYMOUS, COMPLAINT, FIELDS, REPORT, SUGGESTION, file

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00" * 300 + b"IEND\xaeB`\x82"


@dataclass
class Deployment:
    """A home and a database that hold cases, conversations, audit entries and an attachment."""

    config: Settings
    sessions: object
    numbers: list
    attachment: str


@pytest.fixture
def used(engine, database_url, tmp_path, monkeypatch):
    """A deployment in use, on each kind of database."""
    monkeypatch.setenv("HOTLINE_DATABASE_URL", database_url)
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path / "used"))
    config, sessions = Settings(), make_sessions(engine)
    with sessions.begin() as session:
        talk, _ = log.open_conversation(session, "widget", NOW)
        said = log.InboundMessage(talk.id, "widget", "x:1", "口罩一撕就破，我的电话是13904321187")
        log.accept(session, said, NOW)
        upload = attachments.Upload("upload-1", "发票.png", PNG)
        kept, _, _ = attachments.keep(session, talk, upload, config=config, now=NOW)
    numbers = file(sessions, NOW, COMPLAINT, REPORT, conversation=talk.id)
    numbers += file(sessions, NOW, ANONYMOUS, conversation="c2")
    numbers += file(sessions, NOW, SUGGESTION, conversation="c3")
    with sessions.begin() as session:
        for number in numbers:
            audit.record(session, "staff:wang", "case.unmask", f"case:{number}", {"reason": "回电"}, now=NOW)
    return Deployment(config, sessions, numbers, kept["id"])


@pytest.fixture
def elsewhere(request, database_url, tmp_path, monkeypatch):
    """Settings of another machine: an empty home, and on PostgreSQL an empty database."""
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path / "elsewhere"))
    if database_url.startswith("sqlite"):
        monkeypatch.setenv("HOTLINE_DATABASE_URL", "")
        yield Settings()
        return
    with own_database(request.getfixturevalue("postgres")) as url:
        monkeypatch.setenv("HOTLINE_DATABASE_URL", url)
        yield Settings()


def inside(config, look):
    """What `look` finds in a database, with nothing left open."""
    engine = make_engine(config.database)
    try:
        with make_sessions(engine, read_only=True)() as session:
            return look(session)
    finally:
        engine.dispose()


def receipts(session):
    return sorted(session.scalars(select(Case.number)))


class Writer:
    """Goes on writing messages and audit entries, as a service in use does."""

    def __init__(self, sessions):
        self.sessions, self.stop, self.written, self.error = sessions, threading.Event(), 0, None
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            with self.sessions.begin() as session:
                talk, _ = log.open_conversation(session, "widget", NOW)
            while not self.stop.is_set():
                with self.sessions.begin() as session:
                    said = log.InboundMessage(talk.id, "widget", f"w:{self.written}", f"第{self.written}条")
                    message, _ = log.accept(session, said, NOW)
                    audit.record(session, "citizen", "test.message", f"message:{message.id}", now=NOW)
                self.written += 1
        except Exception as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        while self.written < 3 and self.error is None:
            self.stop.wait(0.01)
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(60)


def test_what_is_backed_up_under_writing_is_whole(used, tmp_path, elsewhere):
    with Writer(used.sessions) as writer:
        before = writer.written
        path, manifest = backup(used.config, tmp_path, NOW)
        after = writer.written
    assert writer.error is None and manifest["audit"]["broken"] is None
    restored = restore(elsewhere, path)
    assert restored == manifest

    def look(session):
        assert receipts(session) == sorted(used.numbers)
        fields = {case.number: case.fields for case in session.scalars(select(Case))}
        assert fields[used.numbers[0]] == FIELDS  # decrypted
        said = session.scalar(select(Message).where(Message.external_id == "x:1"))
        assert said.body.endswith("13904321187")
        assert audit.verify(session) is None
        assert audit.head(session) == (manifest["audit"]["last"], manifest["audit"]["hash"])
        attachment, data = attachments.read(session, used.attachment, config=elsewhere)
        assert data == PNG and attachment.name == "发票.png"
        # One moment: each message of the writer stands beside its audit entry, without gaps.
        seqs = [
            list(
                session.scalars(select(Message.seq).where(Message.conversation_id == c).order_by(Message.seq))
            )
            for c in session.scalars(select(Conversation.id))
        ]
        assert all(found == list(range(1, len(found) + 1)) for found in seqs)
        entries = session.scalars(select(audit.AuditEntry.subject).where(audit.AuditEntry.actor == "citizen"))
        messages = set(session.scalars(select(Message.id).where(Message.external_id.like("w:%"))))
        assert {entry.partition(":")[2] for entry in entries} == messages
        return len(messages)

    assert before <= inside(elsewhere, look) <= after


def test_the_restored_deployment_goes_on(used, tmp_path, elsewhere):
    """Sequences, triggers and the chain are in working order, not only the rows."""
    path, _ = backup(used.config, tmp_path, NOW)
    restore(elsewhere, path)
    engine = make_engine(elsewhere.database)
    sessions = make_sessions(engine)
    new = file(sessions, NOW, COMPLAINT, conversation="c9")
    assert new[0] not in used.numbers
    with sessions.begin() as session:
        audit.record(session, "system", "restored", "backup", now=NOW)
        session.add(
            Delivery(
                delivery_id="d", kind="sms", lane="x", dedupe_key="x", target={}, payload={},
                created_at=NOW, next_at=NOW,
            )
        )  # fmt: skip
    with sessions() as session, pytest.raises(Exception, match="audit"):
        session.execute(update(audit.AuditEntry).values(actor="staff:li"))
    with sessions() as session:
        assert audit.verify(session) is None
    engine.dispose()


def tamper(engine, statement):
    trigger = "ALTER TABLE audit_log DISABLE TRIGGER audit_log_no_change"
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(trigger))
        else:
            connection.execute(text("DROP TRIGGER audit_log_no_update"))
            connection.execute(text("DROP TRIGGER audit_log_no_delete"))
        connection.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("UPDATE audit_log SET actor = 'staff:li' WHERE id = 2", "entry 2"),
        ("DELETE FROM audit_log WHERE id = 2", "entry 2"),
        ("DELETE FROM audit_log WHERE id = (SELECT max(id) FROM audit_log)", "end of the log was cut off"),
    ],
)
def test_a_changed_audit_row_is_told_at_the_back_up_and_refused_at_the_restore(
    used, engine, tmp_path, elsewhere, statement, where
):
    tamper(engine, statement)
    path, manifest = backup(used.config, tmp_path, NOW)
    assert where in manifest["audit"]["broken"]
    with pytest.raises(BackupError, match=where):
        restore(elsewhere, path)
    restore(elsewhere, path, broken_audit=True)
    assert where in str(inside(elsewhere, audit.verify))
    assert inside(elsewhere, receipts) == sorted(used.numbers)


def test_a_row_changed_after_the_restore_breaks_the_chain(used, tmp_path, elsewhere):
    restore(elsewhere, backup(used.config, tmp_path, NOW)[0])
    assert inside(elsewhere, audit.verify) is None
    engine = make_engine(elsewhere.database)
    tamper(engine, "UPDATE audit_log SET subject = 'case:none' WHERE id = 3")
    engine.dispose()
    assert inside(elsewhere, audit.verify).entry_id == 3


def test_one_changed_byte_anywhere_is_noticed(used, tmp_path, elsewhere):
    path, _ = backup(used.config, tmp_path, NOW)
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(BackupError):
            restore(elsewhere, path)
    assert "cases" not in tables(elsewhere)


def tables(config):
    from sqlalchemy import inspect

    engine = make_engine(config.database)
    found = inspect(engine).get_table_names()
    engine.dispose()
    return found


def test_a_database_in_use_is_replaced_only_by_force(used, engine, tmp_path):
    path, _ = backup(used.config, tmp_path, NOW)
    with used.sessions.begin() as session:
        session.execute(text("DELETE FROM messages"))
    with pytest.raises(BackupError, match=r"holds 1 conversations, 4 cases; use --force"):
        restore(used.config, path)
    engine.dispose()
    restore(used.config, path, force=True)
    assert (
        inside(used.config, lambda s: s.scalar(select(Message.seq).where(Message.external_id == "x:1"))) == 1
    )


def test_the_wrong_key_replaces_nothing(used, tmp_path, elsewhere):
    path, _ = backup(used.config, tmp_path, NOW)
    set_data_key(DataKey(bytes(32)))
    with pytest.raises(BackupError, match="another data key: put that key in place"):
        restore(elsewhere, path)
    assert "cases" not in tables(elsewhere)


class TestPostgres:
    """What can go wrong on PostgreSQL alone: one clear sentence each."""

    @pytest.fixture
    def database_url(self, request):
        """PostgreSQL only."""
        with own_database(request.getfixturevalue("postgres")) as url:
            yield url

    def test_without_pg_dump(self, used, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(programs.glob, "glob", lambda _: [])
        with pytest.raises(
            BackupError, match=r"^pg_dump is not on this machine: install PostgreSQL's client"
        ):
            backup(used.config, tmp_path, NOW)
        assert list(tmp_path.glob("hotline-*")) == list(tmp_path.glob(".backup-*")) == []

    def test_without_pg_restore(self, used, tmp_path, monkeypatch, elsewhere):
        path, _ = backup(used.config, tmp_path, NOW)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(programs.glob, "glob", lambda _: [])
        with pytest.raises(BackupError, match=r"^pg_restore is not on this machine"):
            restore(elsewhere, path)

    def test_a_database_that_is_down(self, used, tmp_path, monkeypatch):
        path, _ = backup(used.config, tmp_path, NOW)
        monkeypatch.setenv("HOTLINE_DATABASE_URL", "postgresql://postgres@127.0.0.1:1/none")
        with pytest.raises(BackupError, match=r"^The database cannot be copied: .*cannot be used"):
            backup(Settings(), tmp_path, NOW)
        with pytest.raises(BackupError, match=r"^The database in place cannot be read: .*cannot be used"):
            restore(Settings(), path)

    def test_a_service_that_still_runs(self, used, engine, tmp_path):
        path, _ = backup(used.config, tmp_path, NOW)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            with pytest.raises(BackupError, match=r"^\d+ programs are connected to the database: stop"):
                restore(used.config, path, force=True)

    def test_a_restore_that_fails_leaves_the_database_as_it_was(self, used, engine, tmp_path):
        path, _ = backup(used.config, tmp_path, NOW)
        with engine.begin() as connection:
            # A view of somebody's own keeps the table from being dropped.
            connection.execute(text("CREATE VIEW report AS SELECT number FROM cases"))
            connection.execute(text("DELETE FROM messages"))
        engine.dispose()
        with pytest.raises(BackupError, match=r"^pg_restore failed: .*") as failed:
            restore(used.config, path, force=True)
        assert "\n" not in str(failed.value)
        assert inside(used.config, receipts) == sorted(used.numbers)
        assert inside(used.config, lambda s: s.scalar(select(Message.id))) is None

    def test_a_full_disk(self, used, tmp_path, monkeypatch):
        """pg_dump that may write no more than a few bytes."""
        real = programs.tool("pg_dump")
        (tmp_path / "bin").mkdir()
        script = tmp_path / "bin" / "pg_dump"
        script.write_text(f'#!/bin/sh\nulimit -f 1\nexec {real} "$@"\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        with pytest.raises(BackupError, match=r"^There is no room|found no room left"):
            backup(used.config, tmp_path, NOW)
        assert list(tmp_path.glob("hotline-*")) == list(tmp_path.glob(".backup-*")) == []

    def test_the_password_is_in_no_command_line(self, tmp_path, monkeypatch):
        script = tmp_path / "pg_dump"
        script.write_text('#!/bin/sh\necho "$@" "PGPASSWORD=$PGPASSWORD" >"$0.seen"\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        programs.dump("postgresql+psycopg://hotline:ge%40heim@db:5432/hotline", tmp_path / "d", "1")
        seen = (tmp_path / "pg_dump.seen").read_text()
        arguments, _, password = seen.strip().partition(" PGPASSWORD=")
        assert password == "ge@heim" and "heim" not in arguments
        assert "postgresql://hotline@db:5432/hotline" in arguments

    def test_the_dump_is_one_that_pg_restore_reads_without_us(self, used, tmp_path):
        path, manifest = backup(used.config, tmp_path, NOW)
        folder = tmp_path / "in"
        assert read(path, folder) == manifest
        listed = subprocess.run(
            [programs.tool("pg_restore"), "--list", folder / "database.dump"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "TABLE DATA public audit_log" in listed and "TRIGGER public audit_log" in listed
