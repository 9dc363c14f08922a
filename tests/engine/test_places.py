"""Which places make a question another province's."""

import pytest

from bot.engine.places import is_elsewhere


@pytest.mark.parametrize(
    "text",
    [
        "河北那边的特种设备许可证咋延期",
        "山东的厂子转产湿巾检测免不免",
        "辽宁省的政策是啥",
        "大连有家企业问条码怎么办",
    ],
)
def test_a_firm_or_a_rule_of_another_province_is_elsewhere_however_sure_the_models_are(text: str) -> None:
    assert is_elsewhere(text, 4, sure=True)


def test_a_place_alone_counts_only_while_the_models_are_not_sure() -> None:
    text = "上海电梯维保间隔"
    assert is_elsewhere(text, 9, sure=False)
    assert not is_elsewhere(text, 9, sure=True)


@pytest.mark.parametrize(
    ("text", "measure"),
    [
        ("法定代表人被隔离在武汉，变更能在网上弄吗", 1),  # a person is away, the firm is not
        ("评审专家在沈阳过不来", 5),
        ("洗手液卖到山东，检测免费吗", 11),
        ("黑龙江注册、在榆树租车间做湿巾，检测能免吗", 11),  # Jilin is named as well
        ("条码报到北京要等多久", 12),  # the national centre
        ("防疫专利真给推到北京去？", 7),
        ("电梯维保能延长吗", 9),
    ],
)
def test_jilin_firms_with_somebody_elsewhere_are_not(text: str, measure: int) -> None:
    assert not is_elsewhere(text, measure, sure=False)


def test_beijing_counts_where_nothing_is_decided_there() -> None:
    assert is_elsewhere("北京电梯维保周期多久", 9, sure=False)
