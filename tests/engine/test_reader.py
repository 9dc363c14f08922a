"""The reader as a whole: a part reads as it would alone, and the message as it would without its parts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import jieba
import pytest

from bot.engine.examples import distinct, read
from bot.engine.reader import Reader
from bot.engine.segments import bare, split

ROOT = Path(__file__).parents[2]
TEXT = "电梯维保能延长吗，另外专利质押贷款利率多少"
CLOSE = 1e-5  # Sums in single precision depend on how many sentences are read at once.


@pytest.fixture(scope="module")
def reader() -> Reader:
    seen: Counter[object] = Counter()
    chosen = []
    for example in distinct(read(ROOT / "nlu_data")):
        seen[key := (example.act, example.measures[:1], example.ambiguous)] += 1
        if seen[key] <= 10:
            chosen.append(example)
    return Reader().fit(chosen, [jieba.lcut(e.text) for e in chosen])


def test_parts_read_as_they_would_alone(reader: Reader) -> None:
    scores, _ = reader.understand(TEXT, jieba.lcut)
    segments = split(TEXT)
    assert len(scores.parts) == len(segments) == 2
    for part, text in zip(scores.parts, map(bare, segments)):
        alone, _ = reader.read(reader.rows([text], [jieba.lcut(text)]))
        assert (part.act, part.score) == (alone.act, pytest.approx(alone.acts[alone.act], rel=CLOSE))
        assert part.measures == pytest.approx(alone.measures, rel=CLOSE)


def test_parts_do_not_change_the_message(reader: Reader) -> None:
    whole, margins = reader.understand(TEXT, jieba.lcut)
    alone, same = reader.read(reader.rows([TEXT], [jieba.lcut(TEXT)]))
    assert whole.acts == pytest.approx(alone.acts, rel=CLOSE)
    assert whole.measures == pytest.approx(alone.measures, rel=CLOSE)
    assert whole.facets == pytest.approx(alone.facets, rel=CLOSE)
    assert margins.tolist() == pytest.approx(same.tolist(), abs=1e-6)
    assert alone.parts == ()


def test_scores_are_probabilities(reader: Reader) -> None:
    scores, _ = reader.understand("你好", jieba.lcut)
    assert sum(scores.acts.values()) == pytest.approx(1.0)
    assert list(scores.acts.values()) == sorted(scores.acts.values(), reverse=True)
    assert all(0 <= p <= 1 for p in scores.measures.values())
    assert 0 <= scores.given("cost", (4,)) <= 1


def test_a_known_sentence_is_its_own_neighbour(reader: Reader) -> None:
    example = next(iter(read(ROOT / "nlu_data")))
    assert reader.understand(example.text, jieba.lcut)[0].near == pytest.approx(1.0, abs=1e-5)


def test_topics_are_those_of_the_act(reader: Reader) -> None:
    _, margins = reader.understand("这个通知到什么时候有效", jieba.lcut)
    assert reader.topic(margins, "notice") in {
        e.topic or e.facet for e in read(ROOT / "nlu_data") if e.act == "notice"
    }
    assert reader.topic(margins, "policy") == ""
