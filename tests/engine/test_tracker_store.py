"""The tracker store: a turn's tracker comes from its context, and nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import UserUttered
from rasa.shared.core.trackers import DialogueStateTracker

from bot.engine.tracker_store import FORM, FORM_SLOT, TURN, Turn, TurnTrackerStore


@pytest.fixture
def store() -> TurnTrackerStore:
    domain = Domain.from_yaml(
        'version: "3.1"\nslots: {intake: {type: text, influence_conversation: false, mappings: [{type: custom}]}}\n'
        "forms: {intake_form: {required_slots: [intake]}}\n"
    )
    return TurnTrackerStore(domain)


@contextmanager
def running(turn: Turn) -> Iterator[Turn]:
    mark = TURN.set(turn)
    try:
        yield turn
    finally:
        TURN.reset(mark)


def retrieve(store: TurnTrackerStore, sender: str = "c1") -> DialogueStateTracker:
    tracker = asyncio.run(store.retrieve(sender))
    assert tracker is not None
    return tracker


def test_a_turn_without_an_intake_starts_empty(store: TurnTrackerStore) -> None:
    with running(Turn(intake=False)):
        tracker = retrieve(store)
    assert tracker.active_loop is None
    assert tracker.latest_action_name == "action_listen"
    assert len(tracker.events) == 3


def test_a_turn_inside_an_intake_has_the_form_active(store: TurnTrackerStore) -> None:
    with running(Turn(intake=True)):
        tracker = retrieve(store)
    assert tracker.active_loop_name == FORM
    assert tracker.get_slot("requested_slot") == FORM_SLOT
    assert tracker.get_slot("intake") is None
    assert tracker.latest_action_name == "action_listen"


def test_what_a_turn_saves_stays_with_the_turn(store: TurnTrackerStore) -> None:
    with running(Turn(intake=False)) as turn:
        tracker = retrieve(store)
        tracker.update(UserUttered("电话13904321187"))
        asyncio.run(store.save(tracker))
        assert turn.tracker is tracker
        # Rasa reads its tracker again within a turn.
        assert retrieve(store) is tracker
    with running(Turn(intake=False)):
        assert len(retrieve(store).events) == 3
    assert asyncio.run(store.retrieve("c1")) is None
    assert list(asyncio.run(store.keys())) == []


def test_turns_at_the_same_time_do_not_see_each_other(store: TurnTrackerStore) -> None:
    async def one(intake: bool) -> str | None:
        with running(Turn(intake=intake)):
            tracker = await store.retrieve("c1")
            await asyncio.sleep(0)
            await store.save(tracker)
            await asyncio.sleep(0)
            return (await store.retrieve("c1")).active_loop_name

    async def both() -> list[str | None]:
        return await asyncio.gather(*(one(n % 2 == 0) for n in range(6)))

    assert asyncio.run(both()) == [FORM, None] * 3


def test_outside_a_turn_it_is_a_store_in_memory(store: TurnTrackerStore) -> None:
    tracker = asyncio.run(store.get_or_create_tracker("shell"))
    tracker.update(UserUttered("你好"))
    asyncio.run(store.save(tracker))
    assert [e.text for e in retrieve(store, "shell").events if isinstance(e, UserUttered)] == ["你好"]
