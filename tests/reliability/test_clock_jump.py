"""The clock of gateway and desk leaps two hours ahead and back again, as after a wrong time server or a long sleep.

libfaketime stands between the processes and the kernel's wall clock; the monotonic clock goes on, as it does when a real
clock is set.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Alone, lodge, until

ROW = "clock jump"
LIBRARY = "libfaketimeMT.so.1"


def library() -> str:
    """Where libfaketime is; skips the row where it is not installed, which fails in CI."""
    found = glob.glob(f"/usr/lib/*/faketime/{LIBRARY}") + glob.glob(f"/usr/lib/faketime/{LIBRARY}")
    if not found:
        pytest.skip("not installed: libfaketime")
    return found[0]


class WallClock:
    """The wall clock of gateway and desk."""

    def __init__(self, alone: Alone, home: Path) -> None:
        self.alone = alone
        self.file = home / "wall-clock"
        self.set(0)
        self.before = {child.name: child.environment for child in self.children}
        faked = {
            "LD_PRELOAD": library(), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
        }  # fmt: skip
        for child in self.children:
            child.environment = child.environment | faked
            alone.kill(child)
        alone.wait_until_ready()

    @property
    def children(self) -> list:
        """The processes that it is the clock of."""
        return [self.alone.supervisor.gateway, self.alone.supervisor.desk]

    def set(self, hours: int) -> None:
        """Hours ahead of the real time."""
        self.file.write_text(f"{hours:+d}h" if hours else "+0", "utf-8")
        # It is read once a second: with every look at the clock it would make the processes several times as slow.
        time.sleep(2.5)

    def put_back(self) -> None:
        """Give the processes the real clock again."""
        for child in self.children:
            child.environment = self.before[child.name]
            self.alone.kill(child)
        self.alone.wait_until_ready()


@pytest.fixture(scope="module")
def seen(alone: Alone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    alone.wait_until_ready()
    clock = WallClock(alone, tmp_path_factory.mktemp("clock"))
    try:
        yield observe(alone, clock)
    finally:
        if alone.sms.stopped:
            alone.sms.start()
        clock.put_back()


def observe(alone: Alone, clock: WallClock) -> SimpleNamespace:
    asking, in_intake, owned = (alone.citizen() for _ in range(3))
    seen = SimpleNamespace(alone=alone, asking=asking, in_intake=in_intake, owned=owned)
    numbers = [lodge(alone.citizen(), "13904310011")]
    in_intake.say("我要投诉")
    asking.say(QUESTION)
    owned.say("人工")
    assert alone.desk.post(f"/conversations/{owned.id}/claim").status == 200
    assert alone.desk.say(owned, "您好，请讲。").status == 201
    pids = [child.process.pid for child in clock.children]

    clock.set(2)
    seen.ahead = asking.ask("那要交钱吗")
    seen.intake = in_intake.ask("百惠乐超市，在二道区东盛大街")
    seen.to_owner = owned.ask("我想问执照的事")
    seen.me = alone.desk.get("/me")
    seen.page = alone.desk.page()
    seen.owned_log = alone.desk.get(f"/conversations/{owned.id}/log")
    alone.desk.say(owned, "在的，我查一下。")
    # It cannot go out before the clock is set back.
    alone.sms.stop()
    alone.text("13904310012", QUESTION)
    until(lambda: late(alone), "the answer in the outbox")
    numbers.append(lodge(alone.citizen(), "13904310013"))

    alone.sms.start()
    clock.set(0)
    seen.back = asking.ask(QUESTION)
    seen.streamed = asking.follow(0, len(alone.records.messages(asking)))
    seen.to_owner_back = owned.ask("还在吗")
    seen.queue = alone.desk.get("/queue")
    alone.text("13904310014", QUESTION)
    numbers.append(lodge(alone.citizen(), "13904310015"))
    until(lambda: sum("第9条" in r.body for r in answers(alone, "13904310014")) == 1, "the answer by SMS")
    seen.ahead_sms = until(lambda: answers(alone, "13904310012"), "the answer of the time that was not")
    until(lambda: not waiting(alone), "an empty outbox")
    seen.numbers = numbers
    seen.same = pids == [child.process.pid for child in clock.children]
    alone.desk.post(f"/conversations/{owned.id}/release", {"to": "bot"})
    return seen


def waiting(alone: Alone) -> list:
    """What is still to be sent by SMS."""
    return [d for d in alone.records.deliveries(kind="sms") if d.state in ("pending", "leased")]


def late(alone: Alone) -> list:
    """What waits and was queued in a time that has not come yet."""
    now = datetime.now(timezone.utc)
    return [d for d in waiting(alone) if d.created_at > now + timedelta(hours=1)]


def answers(alone: Alone, number: str) -> list:
    """The SMS that a number has got."""
    return [r for r in alone.sms.received if r.headers["x-kannel-to"] == number]


@cell(
    ROW,
    "citizen",
    "notices nothing: the token is good, intake and follow-up go on, streams are in order, SMS arrive",
)
def test_the_citizen_notices_nothing(seen: SimpleNamespace) -> None:
    assert (seen.ahead.kinds, seen.ahead.replies[0]["answer"]["measures"]) == (["policy"], [9])
    assert seen.intake.kinds[-1] == "intake"
    assert seen.back.kinds == ["policy"]
    assert [m["seq"] for m in seen.streamed] == list(range(1, len(seen.streamed) + 1))
    assert len(seen.ahead_sms) == 1


@cell(
    ROW,
    "agent",
    "stays logged in as program and owner, before, during and after; the bot says nothing in between",
)
def test_the_agent_stays(seen: SimpleNamespace) -> None:
    assert (seen.me.status, seen.owned_log.status, seen.queue.status) == (200, 200, 200)
    assert [(a.status, a.replies) for a in (seen.to_owner, seen.to_owner_back)] == [(202, []), (202, [])]
    assert seen.owned.id in [row["conversation_id"] for row in seen.queue.body["mine"]]
    # A page left alone for two hours asks for the log-in again: that is what two hours without a key mean.
    assert seen.page.status in (200, 303)


@cell(
    ROW,
    "stored",
    "every message once, in the order in which it was said, whatever its time; receipt numbers stay unique",
)
def test_order_and_numbers_do_not_rest_on_the_clock(seen: SimpleNamespace) -> None:
    records = seen.alone.records
    assert all(records.gapless(citizen) for citizen in (seen.asking, seen.in_intake, seen.owned))
    messages = records.messages(seen.asking)
    leaps = [b.created_at - a.created_at for a, b in pairwise(messages)]
    assert max(leaps) > timedelta(hours=1.9), "the clock of the gateway did not leap"
    assert min(leaps) < timedelta(hours=-1.9)
    assert records.authors(seen.asking) == "b" + "ub" * 3
    assert len(set(seen.numbers)) == 3


@cell(
    ROW,
    "recovery",
    "nothing to recover: the same processes go on, and what was queued in the wrong time is sent",
)
def test_the_same_processes_go_on(seen: SimpleNamespace) -> None:
    assert seen.same
    assert len(seen.ahead_sms) == 1
    assert waiting(seen.alone) == []
