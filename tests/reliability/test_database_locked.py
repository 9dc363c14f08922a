"""Another process holds SQLite's write lock (BEGIN EXCLUSIVE), as a careless backup or a hung tool would."""

from __future__ import annotations

import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy.engine import make_url

from bot.conversations.models import Message
from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Alone

ROW = "database locked (SQLite)"
CITIZENS = 20
BOUND = (
    15.0  # seconds: the busy time-out is 5; if each waited for it, the last would be told after 20 and more
)
HOLD = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
held.execute("ROLLBACK")
"""


@pytest.fixture(scope="module")
def seen(alone: Alone) -> SimpleNamespace:
    alone.wait_until_ready()
    citizens = [alone.citizen() for _ in range(CITIZENS)]
    reading, in_need = alone.citizen(), alone.citizen()
    in_need.say("人工")
    seen = SimpleNamespace(alone=alone, citizens=citizens, reading=reading, in_need=in_need)
    # Somebody who has just logged in: the desk wants to note when they were last seen.
    colleague = alone.records.staff(str(alone.desk.http.base_url), "locked-out")
    ids = [uuid.uuid4().hex for _ in citizens]
    path = Path(str(make_url(alone.config.database).database))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        before = alone.records.count(Message)
        with ThreadPoolExecutor(CITIZENS + 1) as pool:
            asked = [pool.submit(c.ask, QUESTION, i) for c, i in zip(citizens, ids)]
            seen.read = pool.submit(lambda: [m["author"] for m in reading.log()]).result()
            seen.queue = colleague.get("/queue")
            seen.page = colleague.page()
            seen.claim = colleague.post(f"/conversations/{in_need.id}/claim")
            seen.refused = [future.result() for future in asked]
        seen.stored_meanwhile = alone.records.count(Message) - before
    finally:
        holder.communicate()
    seen.again = [citizen.insist(QUESTION, i)[-1] for citizen, i in zip(citizens[:5], ids)]
    seen.claim_again = colleague.post(f"/conversations/{in_need.id}/claim")
    colleague.post(f"/conversations/{in_need.id}/release", {"to": "bot"})
    return seen


@cell(
    ROW,
    "citizen",
    "is told within seconds, twenty at once as well, that nothing could be saved and to send again; can read on",
)
def test_refused_in_words_and_in_time(seen: SimpleNamespace) -> None:
    for answer in seen.refused:
        assert (answer.status, answer.code) == (503, "not_stored")
        assert "再发一次" in answer.message
        assert int(answer.headers["retry-after"]) > 0
        assert answer.seconds < BOUND
    assert seen.read == ["bot"]


@cell(
    ROW,
    "agent",
    "sees queue and pages as ever; what would change something is refused in words, and can be done afterwards",
)
def test_the_agent_reads_on(seen: SimpleNamespace) -> None:
    assert (seen.queue.status, seen.page.status) == (200, 200)
    assert seen.in_need.id in [row["conversation_id"] for row in seen.queue.body["waiting"]]
    assert (seen.claim.status, seen.claim.code) == (503, "not_stored")
    assert seen.claim_again.status == 200


@cell(ROW, "stored", "nothing of what was refused, not even half")
def test_nothing_half_written(seen: SimpleNamespace) -> None:
    assert seen.stored_meanwhile == 0
    for citizen in seen.citizens[5:]:
        assert seen.alone.records.authors(citizen) == "b"
        assert seen.alone.records.hand_overs(citizen) == []


@cell(
    ROW, "recovery", "by itself when the lock is gone: the same id sent again is one message with one answer"
)
def test_sent_again_it_is_one_message(seen: SimpleNamespace) -> None:
    assert [answer.kinds for answer in seen.again] == [["policy"]] * 5
    for citizen in seen.citizens[:5]:
        assert seen.alone.records.authors(citizen) == "bub"
        assert seen.alone.records.gapless(citizen)
