"""The answers of all 16 measures, as data: `tests/measures/NN_topic.yml` (questions and facts a right answer holds).

The nine facets of domain.md 3.2 for 16 measures are the 144 cells; each file also asks what the notice leaves
open, and every finer point.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.engine.text import normalise
from bot.policy import Pack, answers, load
from bot.policy.pack import CORE_FACETS, FACETS

FILES = sorted((Path(__file__).parent / "measures").glob("*.yml"))
PACK = load()


def _questions() -> list[Any]:
    found = []
    for path in FILES:
        for n, question in enumerate(yaml.safe_load(path.read_text("utf-8"))["questions"]):
            found.append(pytest.param(int(path.name[:2]), question, id=f"{path.stem}-{n}"))
    return found


@pytest.mark.parametrize(("number", "question"), _questions())
def test_answer_holds_its_facts(number: int, question: dict[str, Any]) -> None:
    flag = question.get("specified", True)
    text = normalise(question["ask"])
    answer = answers.policy(PACK, [number], question["facet"], specified=flag, text=text)
    expect = question["expect"]
    part = answer.sections[0]
    said = "\n".join([part.say, *part.conditions, part.note])
    assert answer.specified is expect.get("specified", True), answer.text
    for fact in expect.get("contains", []):
        assert fact in answer.text, answer.text
    for fact in expect.get("say_contains", []):
        assert fact in said, said
    for wrong in expect.get("absent", []):
        assert wrong not in answer.text, answer.text


def test_every_measure_has_its_file() -> None:
    assert [f.stem for f in FILES] == [f"{n:02d}_{m.topic}" for n, m in sorted(PACK.measures.items())]


@pytest.mark.parametrize("number", range(1, 17))
def test_all_nine_facets_are_asked(number: int) -> None:
    questions = yaml.safe_load(FILES[number - 1].read_text("utf-8"))["questions"]
    assert set(CORE_FACETS) <= {q["facet"] for q in questions}


def _cells(pack: Pack) -> list[Any]:
    return [
        pytest.param(n, name, facet, flag, id=f"{n}-{name}-{flag}")
        for n, m in pack.measures.items()
        for name, facet in [*((f, f) for f in FACETS), *((p.id, p.facet) for p in m.points)]
        for flag in (True, False)
    ]


@pytest.mark.parametrize(("number", "name", "facet", "flag"), _cells(PACK))
def test_every_quote_of_every_cell_is_in_the_notice(number: int, name: str, facet: str, flag: bool) -> None:
    answer = answers.policy(PACK, [number], facet, specified=flag)
    for citation in answer.citations:
        assert citation.quote in PACK.text
    for quoted in answer.text.split("「")[1:]:
        assert quoted.split("」")[0] in PACK.text
    assert PACK.notice.validity.sentence in answer.text
    for forbidden in ("您有权", "http", "www", "一定能"):
        assert forbidden not in answer.text


@pytest.mark.parametrize("topic", sorted(PACK.notice.about))
def test_every_quote_about_the_notice_is_in_it(topic: str) -> None:
    answer = answers.about(PACK, topic)
    for quoted in answer.text.split("「")[1:]:
        assert quoted.split("」")[0] in PACK.text
    assert answer.kind == "notice"


def test_a_list_names_all_sixteen() -> None:
    text = answers.about(PACK, "list").text
    assert all(m.title in text for m in PACK.measures.values())


def test_two_measures_are_answered_apart_with_both_clauses() -> None:
    answer = answers.policy(PACK, [2, 8])
    assert answer.measures == (2, 8)
    assert "第二条" in answer.text and "第八条" in answer.text
    assert PACK.measure(2).text in answer.text and PACK.measure(8).text in answer.text
    assert answer.text.count(PACK.notice.validity.sentence) == 1


def test_more_measures_than_can_be_read_are_named_not_quoted() -> None:
    answer = answers.policy(PACK, [1, 2, 3, 4, 5])
    assert len(answer.citations) == answers.MAX_MEASURES
    assert PACK.measure(5).short in answer.text and PACK.measure(5).text not in answer.text


def test_no_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs a measure"):
        answers.policy(PACK, [])
