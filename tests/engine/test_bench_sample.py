"""The benchmark's sample: nothing that is learned dies out, acts keep their share, and it reads back as chosen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bot.engine.examples import Example, distinct, read
from bot.engine.reader import act_label
from tests.bench.sample import LEAST, ROOT, choose, labels, write


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return distinct(read(ROOT / "nlu_data"))


def test_every_label_stays(examples: list[Example]) -> None:
    whole = Counter(label for example in examples for label in labels(example))
    part = Counter(label for example in choose(examples, 1200) for label in labels(example))
    assert all(part[label] >= min(LEAST, count) for label, count in whole.items())


def test_acts_keep_their_share(examples: list[Example]) -> None:
    chosen = choose(examples, 2000)
    assert len(chosen) == 2000
    for act in ("policy", "oos", "emergency", "complaint"):
        shares = [sum(act_label(e) == act for e in some) / len(some) for some in (examples, chosen)]
        assert shares[1] == pytest.approx(shares[0], abs=0.03)


def test_the_same_count_gives_the_same_sample_in_the_order_of_the_files(examples: list[Example]) -> None:
    chosen = choose(examples, 1200)
    assert chosen == choose(examples, 1200)
    kept = {example.text for example in chosen}
    assert [e.text for e in chosen] == [e.text for e in examples if e.text in kept]


@pytest.mark.parametrize("count", [0, 10**6])
def test_no_fewer_than_the_labels_need_and_no_more_than_there_are(
    examples: list[Example], count: int
) -> None:
    chosen = choose(examples, count)
    assert LEAST < len(chosen) <= len(examples)
    assert (chosen == examples) == (count > len(examples))


def test_what_is_written_reads_back_with_its_marks(examples: list[Example], tmp_path: Path) -> None:
    assert write(tmp_path, 1200) == 1200
    # Blocks of one file that have the same marks are written as one, so only the order may differ.
    found = sorted(distinct(read(tmp_path)), key=lambda example: example.text)
    assert found == sorted(choose(examples, 1200), key=lambda example: example.text)
    assert (tmp_path / "rules.yml").exists()
