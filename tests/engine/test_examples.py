"""The reader of training examples: a wrong mark is refused and named with its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.engine.examples import FACETS, Example, distinct, from_marks, read

ROOT = Path(__file__).parents[2]


def write(folder: Path, body: str, name: str = "09_elevator.yml") -> Path:
    (folder / name).write_text(f'version: "3.1"\nnlu:\n{body}', "utf-8")
    return folder


def test_examples_with_their_marks(tmp_path: Path) -> None:
    body = (
        "- intent: policy\n  metadata: {measures: [9], facet: cost, specified: false}\n  examples: |\n"
        "    - 要交钱吗\n    -   收不收费  \n    not an example\n"
        "- intent: chitchat\n  metadata: {topic: greet}\n  examples: |\n    - 你好\n"
        "- lookup: trade\n  examples: |\n    - 餐饮\n"
    )
    assert list(read(write(tmp_path, body))) == [
        Example("要交钱吗", "policy", (9,), "cost", False, source="09_elevator.yml"),
        Example("收不收费", "policy", (9,), "cost", False, source="09_elevator.yml"),
        Example("你好", "chitchat", topic="greet", source="09_elevator.yml"),
    ]


@pytest.mark.parametrize(
    ("intent", "marks", "message"),
    [
        ("policy", "{measures: [9], facet: colour}", "facet “colour”"),
        ("followup", "{facet: colour}", "facet “colour”"),
        ("policy", "{measures: [17]}", r"measures \(17,\)"),
        ("policy", "{measures: [0]}", r"measures \(0,\)"),
        ("policy", "{facet: what}", r"measures \(\)"),
        ("policy", "{measures: [nine]}", "nine"),
    ],
)
def test_a_wrong_mark_is_named_with_its_file(tmp_path: Path, intent: str, marks: str, message: str) -> None:
    body = f"- intent: {intent}\n  metadata: {marks}\n  examples: |\n    - 要交钱吗\n"
    with pytest.raises(ValueError, match=message) as caught:
        list(read(write(tmp_path, body)))
    if "nine" not in message:
        assert "09_elevator.yml" in str(caught.value)
        assert "要交钱吗" in str(caught.value)


def test_an_act_without_marks() -> None:
    example = from_marks("人工", "handoff", {})
    assert (example.measures, example.facet, example.given, example.topic) == ((), "what", True, "")


def test_repeated_texts_count_once() -> None:
    one, two, three = Example("甲", "oos"), Example("乙", "oos"), Example("甲", "policy", (1,))
    assert set(distinct([one, two, three])) == {one, two}
    assert distinct([one, two]) == [one, two]


def test_our_own_examples_can_all_be_read() -> None:
    found = list(read(ROOT / "nlu_data"))
    measures = {n: [e for e in found if e.act == "policy" and n in e.measures] for n in range(1, 17)}
    assert all(len(some) >= 60 for some in measures.values()), {n: len(some) for n, some in measures.items()}
    assert len([e for e in found if e.act == "oos"]) >= 400
    assert {e.facet for e in found if e.act in ("policy", "followup")} <= set(FACETS)
