"""A part of the examples for both bots to learn from: DIET needs minutes an epoch on all of them.

`.venv-engine/bin/python -m tests.bench.sample FOLDER COUNT` writes `FOLDER` as a smaller `nlu_data/`: the same files
and blocks with fewer examples, everything else as it is. Every act, measure, facet and topic that answers depend on stays;
beyond that each act and measure keeps its share. The same count gives the same sample.
"""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from bot.engine.examples import Example, distinct, read
from bot.engine.reader import TOPICAL, act_label

ROOT = Path(__file__).resolve().parents[2]
LEAST = 5  # examples of each label, where there are as many: fewer of a topic are not learned
SEED = 12315


def labels(example: Example) -> list[Hashable]:
    """What must not die out."""
    found: list[Hashable] = [("act", act_label(example))]
    if example.act in ("policy", "followup", *TOPICAL):
        found.append((example.act, example.topic or example.facet))
    for number in example.measures:
        found += [("measure", number), ("asked open", number, example.given)]
    if len(example.measures) > 1:
        found.append(("several", example.measures[0]))
    return found


def choose(examples: Sequence[Example], count: int) -> list[Example]:
    """`count` examples in their order; more if the labels alone need more, all if there are no more."""
    shuffled = list(examples)
    random.Random(SEED).shuffle(shuffled)
    seen: Counter[Hashable] = Counter()
    kept: set[str] = set()
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for example in shuffled:
        if any(seen[label] < LEAST for label in labels(example)):
            kept.add(example.text)
            seen.update(labels(example))
        groups[(act_label(example), example.measures[:1])].append(example.text)
    # Each group gives the same share: its n-th of m is due when n / m of all are taken.
    due = [((n + 1) / len(group), text) for group in groups.values() for n, text in enumerate(group)]
    for _, text in sorted(due):
        if len(kept) >= count:
            break
        kept.add(text)
    return [example for example in examples if example.text in kept]


def _reduced(data: dict[str, Any], kept: set[str]) -> dict[str, Any]:
    blocks = []
    for block in data.get("nlu", ()):
        if "intent" not in block:
            blocks.append(block)
            continue
        lines = [line for line in block["examples"].splitlines() if line[2:].strip() in kept]
        # A text that stands in two blocks belongs to the first, as in `distinct`.
        kept.difference_update(line[2:].strip() for line in lines)
        if lines:
            blocks.append(block | {"examples": "".join(f"{line}\n" for line in dict.fromkeys(lines))})
    return data | {"nlu": blocks}


def write(folder: Path, count: int) -> int:
    """Write the sample into the new `folder`; returns the number of its examples."""
    chosen = choose(distinct(read(ROOT / "nlu_data")), count)
    kept = {example.text for example in chosen}
    for path in sorted((ROOT / "nlu_data").rglob("*.yml")):
        data = yaml.safe_load(path.read_text("utf-8")) or {}
        target = folder / path.relative_to(ROOT / "nlu_data")
        target.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(_reduced(data, kept), allow_unicode=True, sort_keys=False, width=1000)
        target.write_text(text, "utf-8")
    return len(chosen)


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), int(sys.argv[2])))
