"""被投诉方改为……: what the intake card of a page sends when a line of the summary is tapped."""

import pytest

from bot.cases.corrections import find
from bot.cases.fields import label

FILLED = {
    "respondent": "鑫隆旺超市",
    "respondent_address": "红旗街",
    "facts": "口罩一撕就破",
    "request": "退四十",
    "name": "韩梅",
    "phone": "13904321187",
}
ALLOWED = [*FILLED, "anonymous", "address"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("respondent", "鑫隆旺大超市"),
        ("respondent_address", "不是红旗街，是东盛大街12号"),
        ("facts", "二月二十号买的，改为调解也行"),
        ("request", "退四十，电话里道个歉"),
        ("name", "韩梅梅"),
        ("phone", "13904321188"),
        ("address", "长春市朝阳区"),
    ],
)
def test_the_label_says_the_field_and_the_rest_is_its_value(field, value):
    text = f"{label(field, 'complaint')}改为{value}"
    found = find(text, [], FILLED, ALLOWED, reviewing=True)
    assert (found.field, found.value, found.rest) == (field, value, "")


def test_a_phone_number_that_is_none_is_asked_for_again():
    found = find("电话改为1390432118", [], FILLED, ALLOWED, reviewing=True)
    assert (found.field, found.value) == ("phone", "")
    assert "少了1位" in found.problem


def test_a_label_without_a_value_asks_for_it():
    found = find("被投诉方改为", [], FILLED, ALLOWED, reviewing=True)
    assert (found.field, found.value) == ("respondent", "")


@pytest.mark.parametrize("text", ["什么改为别的", "您的单位改为宏达厂"])
def test_words_that_are_no_label_of_this_record_change_nothing(text):
    assert find(text, [], FILLED, ALLOWED, reviewing=True) is None
