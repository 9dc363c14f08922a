"""The walk: every way through it ends, nothing is misquoted, and typical firms find their measures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.policy import Pack, PackError, load, walk
from bot.policy.guide import MAX_CHOICES, load_guide, read_guide
from bot.policy.pack import DEFAULT_PACK, PACKS
from bot.policy.walk import Walk

SKIP = "都不是／跳过"


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load()


def statuses(state: Walk, pack: Pack) -> dict[int, str]:
    return {f.measure: f.status for f in walk.result(state, pack) if not f.general}


def ways(state: Walk) -> Iterator[tuple[Walk, int]]:
    """Every end of the walk by pressed buttons, and how many questions it took."""
    asked = walk.question(state)
    if asked is None:
        yield state, 0
        return
    assert 2 <= len(asked.choices) <= MAX_CHOICES
    assert asked.choices[-1] == SKIP
    assert len(set(asked.choices)) == len(asked.choices)
    for label in asked.choices:
        after = walk.take(state, label)
        assert label == SKIP or after.facts != state.facts or label == "还没商量", label
        yield from ((end, count + 1) for end, count in ways(after))


def press(*labels: str, text: str = "") -> Walk:
    state = walk.start(text)
    for label in labels:
        asked = walk.question(state)
        assert asked and label in asked.choices, (label, asked)
        state = walk.take(state, label)
    return state


# -- every way through --------------------------------------------------------------------------------


def test_every_way_ends_after_three_to_five_questions_and_quotes_verbatim(pack: Pack) -> None:
    seen: set[str] = set()
    for end, count in ways(walk.start()):
        assert 3 <= count <= 5
        assert end.done and end.asked == ""
        if (key := str(sorted(end.facts.items()))) in seen:
            continue
        seen.add(key)
        told = walk.answer(end, pack)
        for fit in walk.result(end, pack):
            clause = pack.measure(fit.measure).text
            assert fit.quotes and all(q in clause for q in fit.quotes)
            assert fit.status != "no" or fit.not_met or fit.why
        assert all(c.quote == pack.measure(c.measure).text and c.quote in pack.text for c in told.citations)
        assert [c.measure for c in told.citations] == list(told.measures)
        assert told.text.endswith(f"※{pack.notice.validity.sentence}")
        assert "您有权" not in told.text and "保证" not in told.text.replace("不保证", "")
    assert len(seen) > 1000


def test_no_benefit_without_its_conditions(pack: Pack) -> None:
    for end, _ in ways(walk.start("我们做口罩")):
        text = walk.answer(end, pack).text
        for fit in walk.result(end, pack):
            for offer in fit.offers:
                if offer.say in text:
                    assert all(c.split("：", 1)[-1] in text for c in offer.conditions)


@given(
    st.lists(
        st.sampled_from(["啊", "嗯嗯嗯", "今天天气", "缺钱", "2", "9", "都不是", "有", "做口罩的", "🙂", ""]),
        max_size=12,
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_typed_ends_after_two_tries_a_question(replies: list[str]) -> None:
    state = walk.start()
    for reply in replies + ["啊"] * 10:
        state = walk.take(state, reply)
        assert len(state.answered) <= 5
        assert Walk.model_validate_json(state.model_dump_json()) == state
    assert state.done and walk.question(state) is None


# -- the dialogue -------------------------------------------------------------------------------------


def test_free_text_fills_facts_at_once_and_skips_what_it_answers() -> None:
    state = walk.start("我们做口罩的，证也快到期了，手头没钱")
    assert state.facts["makes_epidemic_supplies"] and state.facts["needs_financing"]
    asked = walk.question(state)
    assert asked and asked.text == "眼下要办哪一样？"
    asked = walk.question(walk.take(state, SKIP))
    assert asked and asked.text == "您说快到期的，是哪一种证？"


def test_a_known_fact_is_no_longer_offered() -> None:
    state = press(SKIP, SKIP, text="缺钱，有设备")
    asked = walk.question(state)
    assert asked and asked.text.startswith("眼下还有") and "资金紧张" not in asked.choices


@pytest.mark.parametrize("reply", ["3", "３", "电梯、特种设备、检验检测", "电梯 特种设备 检验检测"])
def test_a_choice_arrives_as_label_or_number(reply: str) -> None:
    assert walk.take(walk.start(), reply).facts == {"technical_trade": True}


def test_what_is_not_understood_is_asked_once_more_and_then_skipped() -> None:
    once = walk.take(walk.start(), "哈哈哈")
    assert once.asked == "trade" and once.repeated and not once.answered
    twice = walk.take(once, "嘿嘿")
    assert twice.answered == ("trade",) and twice.asked == "certificate" and not twice.repeated


def test_a_reply_to_something_else_is_kept_and_the_question_repeated() -> None:
    state = walk.take(walk.start(), "手头紧，缺资金")
    assert state.facts == {"needs_financing": True} and state.asked == "trade" and state.repeated


def test_several_facts_in_one_reply() -> None:
    state = walk.take(press(SKIP, SKIP), "缺钱，还有个防新冠的专利在申请")
    assert state.facts["needs_financing"] and state.facts["has_covid_patent_application"]


def test_stop_ends_the_walk_and_a_done_walk_stays() -> None:
    state = walk.take(walk.start("做口罩的"), "别问了，直接看结果")
    assert state.done and walk.question(state) is None
    assert walk.take(state, "工厂、作坊") == state


def test_the_last_question_keeps_its_place() -> None:
    state = press("工厂、作坊", "食品、药品", "不用办许可", "特种设备许可证")
    assert state.asked == "needs" and len(state.answered) == 4


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("我们没停产，认证快到期", "stopped_by_epidemic"),
        ("肥皂厂，一直做肥皂", "new_or_converted_hygiene_goods"),
        ("酒精厂，没有危化品证", "holds_hazardous_chemical_licence"),
        ("造锅炉的，证还有8个月到期", "licence_under_six_months"),
        ("CMA刚交的申请，还没受理", "application_accepted"),
        ("我们不做口罩", "makes_epidemic_supplies"),
        ("我们厂没有口罩", "makes_epidemic_supplies"),
        ("食品厂要买口罩，给员工戴", "makes_epidemic_supplies"),
        ("缺啥也不缺钱", "needs_financing"),
        ("我们没有缺钱", "needs_financing"),
        ("物业不同意延长维保", "elevator_user_agrees"),
    ],
)
def test_negations(text: str, fact: str) -> None:
    assert walk.start(text).facts[fact] is False


# -- typical firms ------------------------------------------------------------------------------------

FIRMS: list[tuple[str, dict[int, str]]] = [
    ("我们是做口罩的小车间", {2: "maybe", 10: "fits", 11: "no", 12: "maybe"}),
    ("口罩厂，没有条码，手续也没办", {2: "fits", 10: "fits", 11: "no", 12: "fits"}),
    ("做消毒液的，检测能免费吗", {2: "maybe", 3: "no", 10: "fits", 11: "no", 12: "maybe"}),
    ("我是孵化器的经理", {6: "fits"}),
    ("在科技园里合租，想用同一个地址注册两家公司", {1: "fits", 6: "fits"}),
    ("检测公司，CMA申请已经受理，专家来不了", {5: "fits"}),
    ("检测公司，申请还没受理", {5: "maybe"}),
    ("电梯维保公司，人手不够", {9: "fits"}),
    ("电梯维保公司，物业不同意延长", {9: "no"}),
    ("我们是大商场，电梯多，门口还上了测温设备", {9: "maybe", 13: "fits"}),
    ("肥皂厂转产洗手液，长春的", {11: "fits"}),
    ("肥皂厂，一直做肥皂", {11: "no"}),
    ("湿巾是新增的，但厂在黑龙江", {11: "no"}),
    ("乙醇厂，有危化品许可证", {3: "fits"}),
    ("酒精厂，没有危化品证", {3: "no"}),
    ("造锅炉的，许可证还有5个月到期", {4: "fits"}),
    ("造锅炉的，证还有8个月到期", {4: "maybe"}),
    ("特种设备检验机构，核准证还有3个月到期", {4: "fits"}),
    ("有机认证的农场，复查老师来不了", {8: "fits"}),
    ("做电线的，有3C认证，因疫情停产，审核来不了", {8: "fits"}),
    ("开饭店的", {2: "maybe", 10: "maybe"}),
    ("面条厂，想办条码", {2: "maybe", 10: "maybe", 12: "no"}),
    ("开药店的，没涨过价", {2: "maybe", 10: "fits"}),
    ("医院设备科，呼吸机没检定", {13: "fits"}),
    ("想给一个普通专利加急", {7: "no"}),
    ("有个新冠检测的专利，想加快授权", {7: "fits"}),
    ("公司缺钱，有设备，停产了", {14: "fits"}),
    ("小超市老让供货商坑", {15: "fits"}),
    ("修鞋的", {}),
]


@pytest.mark.parametrize(("text", "expected"), FIRMS, ids=[t for t, _ in FIRMS])
def test_typical_firms(text: str, expected: dict[int, str], pack: Pack) -> None:
    assert statuses(walk.start(text), pack) == expected


def test_the_same_firm_by_buttons(pack: Pack) -> None:
    state = press("工厂、作坊", "洗手液、皂类、湿巾、纸巾等", "新增或转产的", SKIP, "资金紧张")
    assert state.done
    assert statuses(state, pack) == {11: "fits", 14: "maybe"}
    found = {f.measure: f for f in walk.result(state, pack)}
    assert "是省内企业" in found[11].open
    assert "属于新增或转产，不是一直在做的老产品" in found[11].satisfied


def test_a_noodle_maker_has_no_green_channel(pack: Pack) -> None:
    state = press("工厂、作坊", "食品、药品", "食品生产许可", SKIP, SKIP)
    told = walk.answer(state, pack)
    assert "中低风险" in told.text and "绿色通道" not in told.text


# -- the answer ---------------------------------------------------------------------------------------


def test_answer_groups_and_names_clauses(pack: Pack) -> None:
    told = walk.answer(walk.start("口罩厂，没有条码，检测想免费"), pack)
    assert (told.kind, told.measures) == ("policy", (12, 10, 2))
    places = [
        told.text.index(x) for x in ("【看起来适用】", "【要看条件】", "【不适用】", "不分行业的还有", "※")
    ]
    assert places == sorted(places)
    assert "第十二条" in told.text and "口罩、防护服" in told.text
    assert 1 not in told.measures and "网上办执照（第一条）" in told.text
    assert told.sms.endswith("※2020年疫情期政策，现行办法请人工确认") and len(told.sms) <= 134


def test_a_general_measure_that_was_asked_for_is_named(pack: Pack) -> None:
    told = walk.answer(walk.start("公司缺钱，有设备"), pack)
    assert told.measures == (14,)
    assert "三押融资" not in told.text.split("不分行业的还有")[1]
    assert "第14条" in told.sms


def test_more_than_four_measures_are_named_only(pack: Pack) -> None:
    text = "口罩厂，没条码，手续没办，缺钱有设备，3C认证到期，公司在园区里，有新冠专利要加快授权"
    told = walk.answer(walk.start(text), pack)
    assert len(told.measures) > 4 and len(told.sections) == 4 and "还有可能相关的" in told.text


def test_nothing_found_is_said_and_rests_on_no_measure(pack: Pack) -> None:
    told = walk.answer(walk.start("修鞋的"), pack)
    assert (told.kind, told.measures, told.citations) == ("notice", (), ())
    assert "没有找到" in told.text and "12315热线（第十五条）" in told.text and "没有找到" in told.sms


# -- the file -----------------------------------------------------------------------------------------


def test_every_fact_of_fits_is_used_and_can_be_told(pack: Pack) -> None:
    guide = load_guide()
    for number, measure in pack.measures.items():
        used = set().union(*(b.facts() for b in guide.measures[number].benefits))
        assert {f.fact for f in measure.fits} == used, number


def damaged(tmp_path: Path, old: str, new: str) -> Path:
    path = tmp_path / "walk.yml"
    shutil.copy(PACKS / DEFAULT_PACK / "walk.yml", path)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("quote: 其检验检测费用全部免费", "quote: 所有费用全部免费", "not in the clause"),
        ("conditions: {park: runs_business_park}", "conditions: {hotel: null}", "no condition “hotel”"),
        ("needs: [has_party_members]", "needs: [has_gold]", "not in its fits: has_gold"),
        ("set: {makes_goods: true}", "set: {makes_gold: true}", "facts without words: makes_gold"),
        ("near: {has_patent: ", "near: {has_gold: ", "near: no words for “has_gold”"),
        ("general: [1, ", "general: [17, ", "no measure 17"),
        ("words: ['<hygiene>']", "words: ['<soap>']", "no term <soap>"),
        ("<make>[^，。,]{0,10}<epidemic>", "(<epidemic>", "makes_epidemic_supplies"),
        ("max_questions: 5", "max_questions: 1", "max_questions"),
        ("questions:", "questions: [", "walk.yml"),
    ],
)
def test_a_contradictory_file_is_refused(
    tmp_path: Path, pack: Pack, old: str, new: str, message: str
) -> None:
    with pytest.raises(PackError, match=message.replace("(", r"\(")):
        read_guide(damaged(tmp_path, old, new), pack)


def test_a_missing_measure_or_file_is_refused(tmp_path: Path, pack: Pack) -> None:
    data = yaml.safe_load((PACKS / DEFAULT_PACK / "walk.yml").read_text("utf-8"))
    del data["measures"][16]
    path = tmp_path / "walk.yml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8")
    with pytest.raises(PackError, match="measures differ"):
        read_guide(path, pack)
    with pytest.raises(PackError):
        read_guide(tmp_path / "none.yml", pack)


def test_an_unknown_question_is_refused() -> None:
    with pytest.raises(PackError, match="no question"):
        walk.take(Walk(asked="weather"), "晴")
