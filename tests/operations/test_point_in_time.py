"""Back to a moment on PostgreSQL, as docs/deployment.md describes it: WAL archive, base back-up, recovery target."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from bot import audit
from bot.cases.models import Case
from bot.operations.archive import BackupError
from bot.operations.postgres import tool
from bot.settings import ROOT
from bot.storage import make_engine, make_sessions, upgrade
from tests.cases.conftest import NOW
from tests.cases.filing import COMPLAINT, FIELDS, file

DOCUMENT = (ROOT / "docs" / "deployment.md").read_text("utf-8")


class Server:
    """A PostgreSQL of the test's own, which archives its WAL."""

    def __init__(self, folder):
        self.folder, self.data, self.wal = folder, folder / "main", folder / "wal"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.wal.mkdir(mode=0o700)
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            for path in (folder, self.wal):
                os.chown(path, owner.pw_uid, owner.pw_gid)

    def run(self, program, *arguments):
        as_user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [program, *map(str, arguments)], cwd="/", capture_output=True, text=True, check=False, **as_user
        )
        assert done.returncode == 0, f"{program}: {done.stderr}{(self.folder / 'log').read_text()[-800:]}"

    def make(self):
        self.run(
            tool("initdb"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D", self.data
        )
        # The document's own lines, with the folder of this test.
        block = re.search(r"```\n(wal_level.*?)```", DOCUMENT, re.S)[1]
        settings = block.replace("/var/backups/wal", str(self.wal))
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(settings)

    def start(self):
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder}"
        log = self.folder / "log"
        self.run(tool("pg_ctl"), "-w", "-t", "120", "-D", self.data, "-l", log, "-o", options, "start")

    def stop(self, how="fast"):
        self.run(tool("pg_ctl"), "-w", "-t", "120", "-D", self.data, "-m", how, "stop")

    @property
    def url(self):
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def look(self, work):
        engine = make_engine(self.url)
        try:
            with make_sessions(engine, read_only=True)() as session:
                return work(session)
        finally:
            engine.dispose()


@pytest.fixture
def server():
    try:
        tool("initdb")
    except BackupError:
        pytest.skip("PostgreSQL is not installed")
    # Short, and where PostgreSQL's own user can go: a socket's path has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="hotline-wal-"))
    made = Server(folder)
    made.make()
    made.start()
    yield made
    subprocess.run(
        [tool("pg_ctl"), "-D", made.data, "-m", "immediate", "stop"], capture_output=True, check=False, cwd="/",
        **({"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}),
    )  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)


def until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def lodge(sessions, conversation):
    (number,) = file(sessions, NOW, COMPLAINT, conversation=conversation)
    with sessions.begin() as session:
        audit.record(session, "staff:wang", "case.read", f"case:{number}", now=NOW)
    return number


def test_back_to_a_moment_between_two_receipts(server):
    upgrade(server.url)
    engine = make_engine(server.url)
    sessions = make_sessions(engine)
    first = lodge(sessions, "c1")
    base = server.folder / "base"
    server.run(
        tool("pg_basebackup"),
        "-h",
        "127.0.0.1",
        "-p",
        server.port,
        "-U",
        "postgres",
        "-D",
        base,
        "-c",
        "fast",
        "-X",
        "none",
    )
    second = lodge(sessions, "c2")
    with sessions() as session:
        moment = session.scalar(text("SELECT clock_timestamp()"))
        noted = audit.head(session)
    until(
        lambda: (
            server.look(lambda s: s.scalar(text("SELECT clock_timestamp()"))) > moment + timedelta(seconds=1)
        ),
        "time",
    )
    third = lodge(sessions, "c3")  # after the moment: the mistake that is undone
    with sessions.begin() as session:
        session.execute(text("UPDATE cases SET department = '改错了'"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        segment = connection.scalar(text("SELECT pg_walfile_name(pg_switch_wal())"))
    until(lambda: (server.wal / segment).exists(), "the last WAL was not archived")
    engine.dispose()
    server.stop("immediate")

    server.data.rename(server.folder / "main.broken")
    server.run("cp", "-a", base, server.data)
    block = re.search(r"<<'END'\n(restore_command.*?)END", DOCUMENT, re.S)[1]
    block = block.replace("/var/backups/wal", str(server.wal)).replace(
        "2026-11-22 14:30:00+08", moment.isoformat()
    )
    with (server.data / "postgresql.auto.conf").open("a") as config:
        config.write(block)
    server.run("touch", server.data / "recovery.signal")
    server.start()
    until(lambda: not server.look(lambda s: s.scalar(text("SELECT pg_is_in_recovery()"))), "not promoted")

    def look(session):
        assert audit.verify(session) is None
        assert audit.head(session) == noted
        assert "改错了" not in session.scalars(select(Case.department)).all()
        return {case.number: case.fields for case in session.scalars(select(Case))}

    cases = server.look(look)
    assert cases == {first: FIELDS, second: FIELDS} and third not in cases
    # And it goes on from there.
    engine = make_engine(server.url)
    lodge(make_sessions(engine), "c4")
    engine.dispose()
    assert server.look(audit.verify) is None
