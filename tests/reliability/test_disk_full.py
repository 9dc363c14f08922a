"""No byte more can be written under the home: neither to the database nor to a log."""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import closing
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from bot.conversations.models import Conversation
from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Alone, until

ROW = "disk full"
PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + os.urandom(30_000) + b"\0\0\0\0IEND\xaeB`\x82"
MOST = 100  # messages that what the database has reserved may still hold


@pytest.fixture(scope="module")
def seen(alone: Alone) -> SimpleNamespace:
    alone.wait_until_ready()
    citizen, in_need = alone.citizen(), alone.citizen()
    in_need.say("人工")
    seen = SimpleNamespace(alone=alone, citizen=citizen, in_need=in_need)
    processes = [child.process.pid for child in alone.supervisor.children]
    colleague = alone.records.staff(str(alone.desk.http.base_url), "disk-full")
    seen.taken, message_id = 0, ""
    # Give back what the write-ahead log has reserved: it would take some messages more.
    with closing(sqlite3.connect(str(make_url(alone.config.database).database), timeout=30)) as raw:
        until(lambda: raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "a checkpoint")
    alone.disk.fill(processes)
    try:
        while seen.taken < MOST:
            message_id = uuid.uuid4().hex
            seen.refused = citizen.ask(QUESTION, message_id)
            if seen.refused.status != 200:
                break
            seen.taken += 1
        conversations = alone.records.count(Conversation)
        seen.not_opened = [
            alone.http.post("/api/v1/conversations", json={"channel": "widget"}) for _ in range(5)
        ]
        seen.opened = alone.records.count(Conversation) - conversations
        seen.picture = citizen.give(PICTURE)
        seen.read = citizen.log()
        seen.queue = colleague.get("/queue")
        seen.page = colleague.page()
        seen.claim = colleague.post(f"/conversations/{in_need.id}/claim")
        seen.log = alone.records.messages(citizen)
    finally:
        alone.disk.free()
    seen.again = citizen.insist(QUESTION, message_id)[-1]
    seen.picture_again = citizen.give(PICTURE)
    seen.files = list((alone.config.home_dir / "attachments").iterdir())
    seen.claim_again = colleague.post(f"/conversations/{in_need.id}/claim")
    colleague.post(f"/conversations/{in_need.id}/release", {"to": "bot"})
    seen.same = processes == [child.process.pid for child in alone.supervisor.children]
    return seen


@cell(
    ROW,
    "citizen",
    "is told that nothing could be saved and to send again, never an error of ours; can read on",
)
def test_refused_in_words(seen: SimpleNamespace) -> None:
    assert seen.taken < MOST, "the disk was not full"
    assert (seen.refused.status, seen.refused.code) == (503, "not_stored")
    assert "再发一次" in seen.refused.message
    assert {response.status_code for response in seen.not_opened} == {503}
    assert (seen.picture.status, seen.picture.code) == (503, "not_stored")
    assert len(seen.read) == 1 + 2 * seen.taken


@cell(ROW, "agent", "reads queue and pages; what would change something is refused in words")
def test_the_agent_reads_on(seen: SimpleNamespace) -> None:
    assert (seen.queue.status, seen.page.status) == (200, 200)
    assert (seen.claim.status, seen.claim.code) == (503, "not_stored")
    assert seen.claim_again.status == 200


@cell(
    ROW,
    "stored",
    "what was accepted before, complete, and nothing of what was refused; the database is sound",
)
def test_the_database_is_sound(seen: SimpleNamespace) -> None:
    assert seen.opened == 0
    assert len(seen.files) == 1, "half a picture is left, or two"
    assert len(seen.log) == 1 + 2 * seen.taken
    with seen.alone.records.readers() as session:
        assert session.scalar(text("PRAGMA integrity_check")) == "ok"
        assert session.execute(text("PRAGMA foreign_key_check")).all() == []


@cell(
    ROW,
    "recovery",
    "by itself when there is room, without a restart: the same id sent again is one message with one answer",
)
def test_the_same_processes_go_on(seen: SimpleNamespace) -> None:
    assert seen.again.kinds == ["policy"]
    assert seen.same
    assert seen.picture_again.status == 201
    assert seen.alone.records.authors(seen.citizen) == "b" + "ub" * (seen.taken + 1) + "uy"
    assert seen.alone.records.gapless(seen.citizen)
