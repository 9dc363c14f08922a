"""Each of the 16 measures once, asked as a citizen would, through every process."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bot.policy import load
from bot.settings import ROOT

FILES = sorted((ROOT / "tests" / "measures").glob("*.yml"))


def test_there_is_a_file_for_each_measure() -> None:
    assert [int(path.name[:2]) for path in FILES] == list(range(1, 17))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_question_is_answered_from_its_measure(talk, path: Path) -> None:
    number = int(path.name[:2])
    question = yaml.safe_load(path.read_text("utf-8"))["questions"][0]
    [reply] = talk.say(question["ask"])
    answer = reply["answer"]
    assert answer["kind"] == "policy", reply["text"]
    assert number in answer["measures"]
    pack = load()
    assert answer["citations"]
    for citation in answer["citations"]:
        assert citation["quote"] in pack.measure(citation["measure"]).text
        assert citation["quote"] in reply["text"]
    assert answer["validity"] == "unknown"


def test_a_follow_up_needs_no_name(talk) -> None:
    assert talk.say("电梯维保能延长吗")[0]["answer"]["measures"] == [9]
    [reply] = talk.say("那要交钱吗")
    assert (reply["answer"]["kind"], reply["answer"]["measures"]) == ("policy", [9])


def test_what_the_notice_does_not_know_is_declined(talk) -> None:
    [reply] = talk.say("今天长春天气怎么样")
    assert (reply["answer"]["kind"], reply["answer"]["measures"]) == ("fallback", [])
