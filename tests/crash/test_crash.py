"""Two hundred citizens talk while processes are killed at random: nothing is lost and nothing is said twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import pytest
from sqlalchemy import func, select

from bot.conversations.models import Message
from bot.storage import make_engine, make_sessions
from tests.crash.killer import Killer, kind_of
from tests.load import checks, scripts, staff
from tests.load.citizens import Citizen, Stopped, Tally
from tests.load.deployment import Deployment

CITIZENS = 200
OFFICERS = 3
THINK = (4.0, 10.0)  # seconds between two messages: two cores also have to start what was killed
EVERY = (3.0, 8.0)  # seconds between two kills
CALM = 180.0  # seconds in which everything that was accepted is finished once nothing is killed any more
SHOWN = 12  # faults that a failure prints


@dataclass
class Fire:
    """What a run has left: its citizens, its staff, what was killed."""

    tally: Tally
    citizens: Sequence[Citizen]
    officers: Sequence[staff.Officer]
    killer: Killer
    receipts: int  # told while the fire burnt
    enough: bool  # people were served in it
    faults: list[str] = field(default_factory=list)


async def _ready(deployment: Deployment) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=5.0) as http:
        deadline = time.monotonic() + CALM
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if all([(await http.get(door)).status_code == 200 for door in deployment.doors.values()]):
                    return
            await asyncio.sleep(0.5)
    raise AssertionError(f"not ready again after {CALM:.0f} seconds")


async def _citizen(citizen: Citizen, begins_after: float) -> None:
    try:
        await asyncio.sleep(begins_after)
        await scripts.live(citizen, scripts.INTAKES)
    except Stopped:
        pass


async def _under_fire(deployment: Deployment, seconds: float, chance: random.Random) -> Fire:
    """Talk and kill for `seconds`, then let everybody finish and compare the logs."""
    tally = Tally()
    sessions = make_sessions(make_engine(deployment.database))
    officers = staff.hired(sessions, deployment.desk, OFFICERS, chance)
    citizens = [
        # Half of them have a stream open, as the widget; the others read the log.
        Citizen(deployment.url, tally, chance=random.Random(chance.random()), think=THINK, follow=n % 2 == 0)
        for n in range(CITIZENS)
    ]
    talking = [asyncio.create_task(_citizen(c, chance.uniform(0, THINK[1]))) for c in citizens]
    serving = [asyncio.create_task(officer.work()) for officer in officers]
    killer = Killer(deployment, EVERY, chance, lambda: tally.answered)
    killer.start()
    begun = time.monotonic()
    await asyncio.sleep(seconds)
    # A slow machine gets more time for the same: what was not in the fire proves nothing.
    while time.monotonic() - begun < 3 * seconds and not _enough(tally, killer, seconds):
        await asyncio.sleep(1)
    await asyncio.to_thread(killer.stop)
    enough = _enough(tally, killer, seconds)
    fire = Fire(tally, citizens, officers, killer, tally.kinds["receipt"], enough)
    # What was begun under fire is brought to its end: an intake that was cut off can go on.
    for citizen in citizens:
        citizen.over.set()
    await asyncio.wait(talking, timeout=CALM)
    for citizen in citizens:
        citizen.gone.set()
    for officer in officers:
        officer.over.set()
    for ended in await asyncio.gather(*talking, *serving, return_exceptions=True):
        if isinstance(ended, BaseException):
            fire.faults.append(f"{type(ended).__name__}: {ended}")
    await _ready(deployment)
    await _finished(sessions)
    for citizen in citizens:
        for talk in citizen.conversations:
            await citizen.pull(talk)
            fire.faults += checks.of_log(talk, await citizen.whole_log(talk)) + checks.of_responses(talk)
        await citizen.close()
    fire.faults += tally.faults
    return fire


def _enough(tally: Tally, killer: Killer, seconds: float) -> bool:
    """Whether it was a fire, and people were served in it."""
    return (
        killer.killed.total() >= seconds / 30
        and {"gateway", "engine"} <= {kind_of(name) for name in killer.killed}
        and len(tally.seconds) >= seconds * 3
        and tally.kinds["receipt"] >= seconds / 20
        and tally.troubles.total() > 0
    )


async def _finished(sessions) -> None:
    """Until no message waits: those whose citizen is gone are found by the gateway's sweep."""
    waiting = select(func.count()).where(Message.author == "user", Message.answered_at.is_(None))
    deadline = time.monotonic() + CALM
    while time.monotonic() < deadline:
        with sessions() as session:
            if not session.scalar(waiting):
                return
        await asyncio.sleep(1)


def _verdict(deployment: Deployment, fire: Fire, seconds: float) -> None:
    sessions = make_sessions(make_engine(deployment.database), read_only=True)
    talks = [talk for citizen in fire.citizens for talk in citizen.conversations]
    with sessions() as session:
        faults = [*fire.faults, *checks.of_answers(session), *checks.of_cases(session, talks)]
        words = {
            (m.conversation_id, m.body)
            for m in session.scalars(select(Message).where(Message.author == "staff"))
        }
    said = [one for officer in fire.officers for one in officer.said]
    faults += [
        f"{talk}: a person's words are not in the log: {text}"
        for talk, text in said
        if (talk, text) not in words
    ]
    numbers = {number for talk in talks for number, _ in talk.receipts()}
    turns = len(fire.tally.seconds)
    print(
        f"\n{deployment.name}: {seconds:.0f} s, {turns} turns, {fire.tally.opened} conversations, "
        f"{len(numbers)} receipts ({fire.receipts} of them under fire), "
        f"{sum(o.taken for o in fire.officers)} taken over, {len(said)} staff messages, killed {dict(fire.killer.killed)}, "
        f"tries that failed {dict(fire.tally.troubles)}, replies {dict(fire.tally.kinds)}, faults {len(faults)}"
    )
    with sessions() as session:
        about = list(dict.fromkeys(fault.partition(":")[0] for fault in faults))[:3]
        logs = [f"{one}\n{checks.transcript(session, one)}" for one in about]
    assert not faults, "\n".join([*faults[:SHOWN], *logs])
    assert fire.enough
    assert len(numbers) >= 40
    assert said


@pytest.mark.parametrize("form", ["embedded", "cluster"])
def test_nothing_is_lost_under_fire(form: str, seconds: float, request: pytest.FixtureRequest) -> None:
    deployment: Deployment = request.getfixturevalue(form)
    chance = random.Random()
    fire = asyncio.run(_under_fire(deployment, seconds, chance))
    _verdict(deployment, fire, seconds)
