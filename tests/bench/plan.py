"""How much is measured: a full run, or a quick one that only shows that everything works."""

from __future__ import annotations

from dataclasses import dataclass


class BenchError(Exception):
    """A measurement cannot be made; the text says why."""


@dataclass(frozen=True)
class Plan:
    """Repetitions and sizes of one run."""

    epochs: int = 100  # of DIET
    ted_epochs: int = 10  # of TED: the stories are few and short, more epochs learn nothing more
    sample: int = 0  # examples to learn from; 0: all
    trainings: int = 3  # of ours; the stock model is trained once
    starts: int = 3
    parses: int = 200  # of each
    early: int = 5  # the early turn of a conversation that is timed …
    middle: int = 100  # … one on the way …
    late: int = 400  # … and the late one
    early_conversations: int = 20
    around: int = 20  # late turns that are timed: `late` is the middle of them
    rounds: int = 3  # of throughput
    seconds: float = 15.0  # of each throughput round
    cap: float = 1200.0  # seconds for the long conversation


def short(epochs: int) -> Plan:
    """A quarter of an hour: fewer repetitions and epochs; its figures may be kept, since every row says so."""
    return Plan(
        epochs=epochs, trainings=1, starts=1, parses=100, early_conversations=10, around=10, rounds=1,
        seconds=6.0, cap=240.0,
    )  # fmt: skip


def sampled(count: int, epochs: int) -> Plan:
    """Half an hour: both bots learn all their epochs, from the same part of the examples."""
    return Plan(
        epochs=epochs, ted_epochs=100, sample=count, trainings=2, starts=2, parses=200, rounds=2,
        seconds=8.0, cap=400.0,
    )  # fmt: skip


def quick(epochs: int) -> Plan:
    """A few minutes with a small stock model; its figures are for no document."""
    return Plan(
        epochs=epochs, trainings=1, starts=1, parses=20, middle=20, late=40, early_conversations=3, around=6,
        rounds=1, seconds=3.0, cap=120.0,
    )  # fmt: skip
