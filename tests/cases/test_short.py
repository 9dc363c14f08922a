"""The question of an intake in one SMS."""

import pytest

from bot.cases.intake import Draft, question
from bot.cases.short import short_question

FIELDS = {
    "respondent": "鑫隆旺超市", "respondent_address": "长春市朝阳区红旗街88号", "facts": "买的口罩一撕就破，" * 30,
    "request": "退我四十块钱", "name": "欧阳建国", "phone": "13904321187", "address": "长春市南关区人民大街1号2单元",
}  # fmt: skip


def test_a_plain_question_is_itself():
    draft = Draft(type="complaint")
    assert short_question(draft) == question(draft).text


def test_the_summary_is_cut_and_names_nobody():
    text = short_question(Draft(type="complaint", fields=FIELDS))
    assert text.startswith("请核对投诉：被投诉方：鑫隆旺超市；")
    assert text.endswith("对吗？")
    assert "姓名：欧**" in text
    assert "电话：139****1187" in text
    assert len(text) <= 150
    for secret in ("欧阳建国", "13904321187", "人民大街"):
        assert secret not in text


def test_a_summary_asked_again_is_the_short_question_of_every_channel():
    draft = Draft(type="complaint", fields=FIELDS, again="review")
    assert short_question(draft) == question(draft).text


@pytest.mark.parametrize("kind", ["report", "suggestion", "request"])
def test_every_type_has_a_short_summary(kind):
    fields = FIELDS | {"company": "建国建材有限公司", "evidence": "有照片"}
    text = short_question(Draft(type=kind, fields=fields, anonymous=False))
    assert text.startswith("请核对")
    assert "欧阳建国" not in text


def test_a_joint_record_asks_the_last_thing_with_the_summary():
    text = short_question(Draft(type="complaint", also_report=True, fields=FIELDS))
    assert text.startswith("请核对投诉和举报：")
    assert "匿名还是实名" in text
