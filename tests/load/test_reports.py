"""What the load and soak tests make of their figures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest

from tests.bench import load, soak
from tests.bench.plan import BenchError


def found(form="up", turns=(0.1,) * 99 + (0.9,), seconds=10.0, **over):
    known = {
        "opened": 3, "kinds": Counter(receipt=2), "errors": Counter(), "cpu": {"gateway": 0.5},
        "memory": {"gateway": 200.0},
    }  # fmt: skip
    return load.Found(form, seconds, list(turns), **(known | over))


def test_percentiles_are_by_nearest_rank():
    one = found(turns=[n / 100 for n in range(1, 101)])
    assert [one.percentile(share) for share in (0.5, 0.95, 1.0)] == [0.5, 0.95, 1.0]
    assert one.rate == 10.0


@pytest.mark.parametrize(
    ("runs", "missed"),
    [
        ([found()], []),
        ([found(turns=[0.6] * 100)], ["up: p95 600 ms (≤ 500 ms)"]),
        ([found(errors=Counter(ReadError=1))], ["up: 1 errors (0)"]),
        ([found(faults=["seq 3"])], ["up: 1 errors (0)"]),
        ([found(), found("cluster", seconds=10.5)], []),
        ([found(), found("cluster", seconds=20)], ["cluster: 0.50 of the turns a second (≥ 0.9)"]),
    ],
)
def test_a_missed_demand_is_named(runs, missed):
    assert [what for what, holds in load.verdicts(runs) if not holds] == missed
    assert ("✗ missed" in load.page(runs, 200)) == bool(missed)


def test_the_table_has_a_column_a_form():
    lines = load.table([found(), found("cluster", cpu={"nginx": 0.1}, memory={})]).splitlines()
    assert lines[0] == "|  | embedded default | cluster |"
    assert "| turn, p95 | 100 ms | 100 ms |" in lines
    assert "| processor, nginx |  | 0.10 |" in lines


def soaked(last):
    sizes = [200.0] * 4 + [210.0] * 4 + [last] * 4
    samples = [(n * 500, {"gateway": size, "engine": 700.0}) for n, size in enumerate(sizes)]
    return soak.Soaked(samples, seconds=60.0, turns=5500, opened=275)


@pytest.mark.parametrize(("last", "holds"), [(210.0, True), (219.0, True), (222.0, False), (150.0, True)])
def test_growth_is_counted_from_the_settled_size(last, holds):
    run = soaked(last)
    assert run.ends("gateway") == (210.0, last)
    verdicts = {what.partition(":")[0]: well for what, well in soak.verdicts(run)}
    assert verdicts == {"0 errors (0)": True, "engine": True, "gateway": holds}


def test_a_short_soak_says_nothing():
    run = soaked(210.0)
    run.samples = run.samples[:7]
    with pytest.raises(BenchError, match="too few"):
        soak.verdicts(run)


def test_the_plot_and_the_page_show_every_process():
    run = soaked(230.0)
    drawn = ElementTree.fromstring(soak.plot(run))
    assert len([e for e in drawn if e.tag.endswith("polyline")]) == 2
    page = soak.page(run, 16)
    assert "| turns | engine | gateway |" in page and "✗ missed: gateway: +9.5%" in page
