"""The intake dialogue: whole dialogues as data (intake_dialogues.yml), and the rules one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.cases.intake import Draft, Step, Turn, advance, begin, parts, question

DIALOGUES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("intake_dialogues.yml").read_text("utf-8"))


def turn_of(data: dict[str, Any]) -> Turn:
    keys = ("entity", "value", "start", "end")
    entities = [dict(zip(keys, e, strict=True)) for e in data.get("e", [])]
    return Turn(text=data["t"], act=data.get("a", "inform"), field=data.get("f", ""), entities=entities)


def check(step: Step, expected: dict[str, Any]) -> None:
    spoken = "\n".join(step.say)
    for words in expected.get("says", []):
        assert words in spoken, f"{words} not in {spoken}"
    if "asks" in expected and "outcome" not in expected:
        assert step.question is not None
        assert step.question.field == expected["asks"], (step.say, step.question, step.draft)
        assert step.outcome == ("review" if expected["asks"] == "review" else "ask")
    if "outcome" in expected:
        assert step.outcome == expected["outcome"], (step.say, step.question)
        assert step.question is None
    for words in expected.get("question", []):
        assert step.question and words in step.question.text
    for words in expected.get("choices", []):
        assert step.question and words in step.question.choices


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d["name"])
def test_dialogue(dialogue: dict[str, Any]) -> None:
    first, *others = dialogue["turns"]
    step = begin(dialogue["type"], turn_of(first), dialogue.get("also_report", False))
    steps = [step]
    check(step, first)
    for data in others:
        draft = step.draft
        if dialogue.get("reload"):
            draft = Draft.model_validate_json(draft.model_dump_json())
            assert question(draft) == step.question
        step = advance(draft, turn_of(data))
        steps.append(step)
        check(step, data)
    draft = step.draft
    for name, value in dialogue.get("fields", {}).items():
        found = draft.fields.get(name)
        assert (found or "").replace("-", "") == value.replace("-", ""), (name, draft)
    for name, value in dialogue.get("contains", {}).items():
        assert value in draft.fields.get(name, ""), (name, draft)
    for name in dialogue.get("absent", []):
        assert name not in draft.fields
    if "anonymous" in dialogue:
        assert draft.anonymous is dialogue["anonymous"]
    assert draft.type == dialogue.get("final_type", dialogue["type"] if "final_type" not in dialogue else draft.type)
    if "parts" in dialogue:
        assert [part.type for part in parts(draft)] == dialogue["parts"]
    for words in dialogue.get("never", []):
        for one in steps:
            assert words not in json.dumps(one.draft.model_dump(), ensure_ascii=False), words
