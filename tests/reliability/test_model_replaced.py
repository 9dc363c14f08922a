"""Another model file: a good one, and a corrupt one; given to one engine after the other, and laid under a running one."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from bot.processes import SetupError
from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Alone, Answer, Many, in_background

ROW = "model file replaced"


@pytest.fixture(scope="module")
def seen(alone: Alone, many: Many) -> Iterator[SimpleNamespace]:
    many.wait_until_ready()
    alone.wait_until_ready()
    cluster = many.cluster
    seen = SimpleNamespace(many=many, alone=alone, answers=[], suggestions=[], first=cluster.model)
    engines = [cluster.children[f"engine{n}"].process.pid for n in range(2)]
    good, corrupt = cluster.folder / "good.tar.gz", cluster.folder / "corrupt.tar.gz"
    shutil.copy(cluster.model, good)
    corrupt.write_bytes(good.read_bytes()[:100_000])
    citizen = many.citizen()

    def talk(stop: threading.Event) -> None:
        while not stop.wait(0.3):
            # Fresh conversations: the limits of one are not what is tested here.
            seen.answers.append(many.citizen().ask(QUESTION))

    def work(stop: threading.Event) -> None:
        while not stop.wait(0.3):
            seen.suggestions.append(many.desk.post("/copilot/suggest", {"text": QUESTION}))

    citizen.say(QUESTION)
    with in_background(talk), in_background(work):
        cluster.replace_engine(0, good)
        seen.good = cluster.children["engine0"].command
        try:
            cluster.replace_engine(1, corrupt)
            seen.error = ""
        except SetupError as error:
            seen.error = str(error)
    seen.engines = [cluster.children[f"engine{n}"] for n in range(2)]
    seen.alive = [child.alive() for child in seen.engines]
    seen.pids = engines, [child.process.pid for child in seen.engines]
    seen.model, seen.good_file = cluster.model, good
    many.wait_until_ready()
    seen.citizen, seen.follow_up = citizen, citizen.ask("那要交钱吗")
    # On one machine: somebody writes garbage over the file of the engine that runs.
    own = alone.config.model
    kept = own.read_bytes()
    running = alone.supervisor.engine.process.pid
    try:
        own.write_bytes(b"no model at all")
        seen.over: Answer = alone.citizen().ask(QUESTION)
        seen.same = alone.supervisor.engine.process.pid == running
    finally:
        own.write_bytes(kept)
    yield seen


@cell(
    ROW,
    "citizen",
    "notices nothing: every question is answered while engines are replaced, and while a corrupt file is tried",
)
def test_every_question_is_answered(seen: SimpleNamespace) -> None:
    assert len(seen.answers) > 5
    assert [a for a in seen.answers if (a.status, a.kinds) != (200, ["policy"])] == []
    assert seen.over.kinds == ["policy"]


@cell(ROW, "agent", "notices nothing: each suggestion of the copilot is whole")
def test_every_suggestion_is_whole(seen: SimpleNamespace) -> None:
    assert len(seen.suggestions) > 5
    assert [s.status for s in seen.suggestions if s.status != 200 or not s.body["complete"]] == []


@cell(ROW, "stored", "nothing of a conversation is in a model: it goes on in the middle, on whatever engine")
def test_conversations_go_on(seen: SimpleNamespace) -> None:
    assert (seen.follow_up.kinds, seen.follow_up.replies[0]["answer"]["measures"]) == (["policy"], [9])
    assert seen.many.records.authors(seen.citizen) == "bubub"
    assert seen.many.records.gapless(seen.citizen)


@cell(
    ROW,
    "recovery",
    "a corrupt file is refused with the reason, its engine starts with the model it had; a running one needs no file",
)
def test_the_old_model_is_taken_back(seen: SimpleNamespace) -> None:
    assert str(seen.good_file) in seen.good
    assert "did not start" in seen.error
    assert seen.alive == [True, True]
    assert all(old != new for old, new in zip(*seen.pids))
    assert seen.model == seen.good_file
    assert all(str(seen.good_file) in child.command for child in seen.engines)
    assert seen.same
