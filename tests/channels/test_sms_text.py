"""An answer as SMS: length by UTF-16 units, three parts at most, digits as menu, nothing personal in it."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cases import intake
from bot.cases.fields import Entity
from bot.cases.short import short_question
from bot.channels import menu, sms_text
from bot.channels.menu import Key
from bot.channels.sms_text import capacity, parts, split, staff_texts, units, written
from bot.policy import answers, load

SIGN = "吉林12315"
HUMAN = Key("0", "人工", "转人工")
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=700)


@pytest.mark.parametrize(
    ("text", "size", "number"),
    [("", 0, 1), ("字" * 70, 70, 1), ("字" * 71, 71, 2), ("字" * 134, 134, 2), ("字" * 135, 135, 3), ("a" * 201, 201, 3),
     ("a" * 202, 202, 4), ("😀" * 35, 70, 1), ("😀" * 36, 72, 2)],
)  # fmt: skip
def test_units_and_parts(text, size, number):
    assert (units(text), parts(text)) == (size, number)


def test_the_signature_counts():
    assert parts("字" * 70) == 1
    assert parts(sms_text.signed("字" * 70, SIGN)) == 2


def test_a_policy_answer_has_menu_clause_validity_and_signature():
    answer = answers.policy(load(), [9], "what")
    keys = [Key("1", "看条件", "条件"), Key("2", "看办理", "办理"), HUMAN]
    text = written(answer.sms, keys, signature=SIGN)
    assert text.startswith("【吉林12315】第9条：")
    assert text.endswith("※2020年疫情期政策，现行办法请人工确认\n回复 1看条件 2看办理 0人工")
    assert parts(text) <= 3


def test_every_measure_and_facet_fits_with_its_conditions_and_its_menu():
    pack = load()
    validity = pack.notice.validity.sms[pack.notice.validity.state]
    for number, measure in pack.measures.items():
        for facet in measure.facets:
            answer = answers.policy(pack, [number], facet)
            keys = [Key(str(i), label, label) for i, label in enumerate(answer.next, 1)] + [HUMAN]
            text = written(answer.sms, keys, signature=SIGN, first=True)
            assert parts(text) <= 3, (number, facet)
            assert measure.sms in text
            assert f"第{number}条" in text
            assert validity in text
            assert text.endswith("0人工")


def test_the_list_of_all_measures_fits_with_every_number():
    pack = load()
    text = written(answers.about(pack, "list").sms, [HUMAN], signature=SIGN, first=True)
    assert parts(text) <= 3
    assert all(measure.short in text for measure in pack.measures.values())
    assert "15 12315热线" in text
    assert text.endswith("0人工")


def test_the_first_answer_says_that_a_machine_answers():
    assert written("您好", signature=SIGN, first=True) == "【吉林12315】机器人答复：您好"
    assert written("您好", signature=SIGN) == "【吉林12315】您好"


def test_a_label_that_begins_with_a_digit_is_set_apart():
    assert menu.keys({"choices": [{"label": "16条措施有哪些"}]})[0].key == "1"
    assert sms_text.menu_line([Key("1", "16条措施有哪些", "")]) == "回复 1 16条措施有哪些"


def test_a_long_answer_keeps_its_validity_and_the_person():
    text = written(
        "一句话。" * 80 + "※现行办法请人工确认",
        [*(Key(str(i), "选" * 20, "") for i in range(1, 9)), HUMAN],
        signature=SIGN,
    )
    assert parts(text) <= 3
    assert "…※现行办法请人工确认\n回复" in text
    assert text.endswith("0人工")


@settings(deadline=None, max_examples=300)
@given(TEXT, st.lists(st.text("选项abc1", min_size=1, max_size=12), max_size=11), st.booleans())
def test_never_more_than_three_parts(text, labels, first):
    keys = [Key(str(n), label, label) for n, label in enumerate(labels, 1)] + [HUMAN]
    assert parts(written(text, keys, signature=SIGN, first=first)) <= 3


@settings(deadline=None)
@given(TEXT, st.integers(5, 90))
def test_split_loses_nothing_and_cuts_no_character(text, room):
    pieces = split(text, room)
    assert "".join(pieces) == text
    assert all(units(piece) <= room for piece in pieces)


def test_staff_say_as_much_as_they_like():
    texts = staff_texts("句子。" * 400, signature=SIGN)
    assert len(texts) == 2
    assert all(t.startswith("【吉林12315】") and units(t) <= capacity(10) for t in texts)
    assert "".join(t.removeprefix("【吉林12315】") for t in texts) == "句子。" * 400


@pytest.mark.parametrize(
    ("text", "hidden", "said"),
    [
        ("记下了：张三丰，13904321187。", ["张三丰"], "记下了：张**，139****1187。"),
        ("姓韩", ["韩"], "姓韩"),
        ("座机0431-88886666", ["0431-88886666"], "座机043****6666"),
        ("住红旗街12号3单元501室", ["红旗街12号3单元501室"], "住红旗***"),
        ("证件220104199001011232", [], "证件220104199001011232"),
        ("查询码261122000174", [], "查询码261122000174"),
        ("请拨110／119／120", [], "请拨110／119／120"),
    ],
)
def test_personal_data_is_masked(text, hidden, said):
    assert sms_text.masked(text, hidden) == said


def _dialogues():
    path = Path(__file__).parents[1] / "cases" / "intake_dialogues.yml"
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.mark.parametrize("dialogue", _dialogues(), ids=lambda d: d["name"])
def test_no_reply_of_an_intake_shows_who_the_citizen_is(dialogue):
    draft, sent = None, []
    for turn in dialogue["turns"]:
        said = intake.Turn(
            text=turn["t"], act=turn.get("a", "inform"), field=turn.get("f", ""),
            entities=[Entity(entity=e[0], value=e[1], start=e[2], end=e[3]) for e in turn.get("e", [])],
        )  # fmt: skip
        step = intake.begin(dialogue["type"], said) if draft is None else intake.advance(draft, said)
        draft = step.draft
        hidden = [v for k, v in draft.fields.items() if k in ("name", "phone", "address")]
        asked = short_question(draft) if step.question else ""
        keys = menu.keys(
            {"choices": [{"label": c} for c in (step.question.choices if step.question else [])]}
        )
        text = written("\n".join([*step.say, asked]), keys, signature=SIGN, hidden=hidden)
        assert parts(text) <= 3
        sent.append((text, hidden))
    assert sent
    for text, hidden in sent:
        for value in hidden:
            assert len(value) == 1 or value not in text, (value, text)
