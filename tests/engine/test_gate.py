"""Decisions of the gate on hand-made scores: one test a branch, through `Gate.decide` only."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bot.engine.gate import Context, Gate, Part, Reading, Scores, named_clause

FOCUS = Context(focus=(9,), last_kind="policy", facet="what")
INTAKE = Context(intake="T", asked="respondent", last_kind="intake")


def scores(
    act: str,
    score: float = 0.95,
    measures: dict[int, float] | None = None,
    facet: str = "what",
    given: float = 1.0,
    **more: Any,
) -> Scores:
    """Scores whose likeliest act is `act`; other measures stand at 0.01."""
    acts = {act: score, **more.pop("acts", {})}
    rest = round(1.0 - sum(acts.values()), 6)
    if rest > 0:
        acts |= {other: rest / 2 for other in ("oos", "chitchat") if other not in acts}
    ranked = dict(sorted(acts.items(), key=lambda pair: -pair[1]))
    # Fields that the gate learns to use later keep their own defaults.
    known = {f.name for f in dataclasses.fields(Scores)}
    return Scores(
        acts=ranked,
        measures=dict.fromkeys(range(1, 17), 0.01) | (measures or {}),
        facets={facet: 0.8, "what" if facet != "what" else "how": 0.2},
        near=0.5,
        given=lambda _facet, _measures: given,
        **{name: value for name, value in more.items() if name in known},
    )


def decide(text: str, some: Scores, context: Context | None = None) -> Reading:
    return Gate().decide(text, some, context or Context())


# -- nothing runs -----------------------------------------------------------------------------------


def test_a_clear_measure_is_answered_with_its_facet() -> None:
    reading = decide("电梯维保要交钱吗", scores("policy", measures={9: 0.95}, facet="cost", given=0.1))
    assert (reading.intent, reading.measures, reading.facet, reading.specified) == (
        "policy",
        (9,),
        "cost",
        False,
    )
    assert reading.reason


def test_what_the_notice_gives_is_marked_so() -> None:
    assert decide("电梯维保能延长吗", scores("policy", measures={9: 0.95}, given=0.9)).specified is True


def test_two_clear_measures_are_both_answered_best_first() -> None:
    assert decide("换证和贷款", scores("policy", measures={4: 0.8, 14: 0.9})).measures == (14, 4)


def test_no_more_than_four() -> None:
    assert len(decide("全都要", scores("policy", measures=dict.fromkeys(range(1, 8), 0.9))).measures) <= 4


def test_two_close_measures_under_the_threshold_are_offered() -> None:
    reading = decide("许可证的事", scores("policy", measures={4: 0.4, 5: 0.35, 8: 0.2}))
    assert reading.intent == "ask_back"
    assert reading.options == (4, 5, 8)


def test_one_measure_far_ahead_is_answered() -> None:
    assert decide("许可证的事", scores("policy", measures={4: 0.45, 5: 0.05})).measures == (4,)


def test_policy_words_without_any_measure_are_declined() -> None:
    reading = decide("有什么别的补贴政策", scores("policy", 0.5))
    assert (reading.intent, reading.measures) == ("oos", ())


def test_out_of_scope_is_declined() -> None:
    reading = decide("今天长春天气怎么样呢请问一下", scores("oos"))
    assert (reading.intent, reading.measures, reading.options) == ("oos", (), ())


def test_words_that_fit_several_measures_are_asked_back() -> None:
    reading = decide("检测要钱吗", scores("ambiguous", measures={11: 0.3, 13: 0.25}, meanings=(11, 13)))
    assert reading.intent == "ask_back"
    assert set(reading.options) >= {11, 13}
    assert len(reading.options) <= 3


@pytest.mark.parametrize("text", ["第九条说啥", "第9条", "讲讲第九项"])
def test_a_clause_called_by_its_number(text: str) -> None:
    assert decide(text, scores("oos")).measures == (9,)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("第一条", 1),
        ("第十条", 10),
        ("第十六条", 16),
        ("第16条", 16),
        ("第十七条", None),
        ("第0条", None),
        ("九条", None),
        ("第十条后面还有几条", None),
    ],
)
def test_clause_numbers(text: str, number: int | None) -> None:
    assert named_clause(text) == number


@pytest.mark.parametrize(
    "act",
    ["handoff", "emergency", "complaint", "report", "request", "suggestion", "status", "notice", "chitchat"],
)
def test_other_acts_pass_through(act: str) -> None:
    assert decide("说一件事情给你们听听", scores(act)).intent == act


@pytest.mark.parametrize("act", ["affirm", "deny", "cancel", "skip"])
def test_bare_answers_stay_bare(act: str) -> None:
    assert decide("嗯", scores(act)).intent == act


def test_nothing_to_read() -> None:
    for text in ("", "？！", "___", "。。。"):
        assert decide(text, scores("policy", measures={9: 0.99})).intent == "unclear"


# -- after an answer --------------------------------------------------------------------------------


def test_a_follow_up_is_about_the_measure_in_focus() -> None:
    reading = decide("那要交钱吗", scores("followup", facet="cost"), FOCUS)
    assert (reading.intent, reading.measures, reading.facet) == ("policy", (9,), "cost")


def test_a_follow_up_that_names_another_measure_is_about_that() -> None:
    assert decide("那专利的呢", scores("followup", measures={7: 0.9}), FOCUS).measures == (7,)


def test_a_follow_up_with_nothing_in_focus_is_unclear() -> None:
    assert decide("那要交钱吗", scores("followup", 0.99)).intent == "unclear"


def test_a_question_without_a_measure_of_its_own_is_about_the_focus() -> None:
    assert decide("去哪办", scores("policy", 0.6, acts={"followup": 0.35}), FOCUS).measures == (9,)


def test_back_to_the_measure_before() -> None:
    context = dataclasses.replace(FOCUS, before=(4,))
    assert decide("刚才那个呢", scores("followup", 0.5, acts={"more": 0.45}), context).measures == (4,)


def test_more_without_focus_is_the_list() -> None:
    reading = decide("还有别的吗", scores("more", 0.99))
    assert (reading.intent, reading.topic) == ("notice", "list")


def test_a_status_question_goes_on() -> None:
    assert decide("JL-T-261122-00017-4", scores("oos", 0.6), Context(last_kind="status")).intent == "status"


def test_the_focus_does_not_swallow_other_acts() -> None:
    for act in ("handoff", "emergency", "complaint"):
        assert decide("有件别的事要你们管一管", scores(act, 0.97), FOCUS).intent == act


# -- buttons ----------------------------------------------------------------------------------------


def test_a_picked_measure_needs_no_scores() -> None:
    reading = decide("特种设备许可", scores("oos"), Context(options=(4, 5), picked=(4,)))
    assert (reading.intent, reading.measures, reading.confidence) == ("policy", (4,), 1.0)


def test_a_picked_measure_counts_inside_an_intake_too() -> None:
    assert decide("特种设备许可", scores("oos"), dataclasses.replace(INTAKE, picked=(4,))).measures == (4,)


# -- an intake runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act", ["oos", "complaint", "affirm", "deny", "cancel", "correct", "chitchat", "skip", "suggestion"]
)
def test_an_intake_takes_what_does_not_interrupt(act: str) -> None:
    reading = decide("百惠乐超市，二道那边", scores(act), INTAKE)
    assert (reading.intent, reading.topic) == ("inform", act)


def test_a_clear_question_interrupts_an_intake() -> None:
    reading = decide("电梯维保能延长吗", scores("policy", 0.98, measures={9: 0.97}), INTAKE)
    assert (reading.intent, reading.measures) == ("policy", (9,))
    assert "intake" in reading.reason


def test_a_doubtful_question_does_not_interrupt() -> None:
    assert (
        decide(
            "超市的电梯坏了", scores("policy", 0.45, measures={9: 0.3}, acts={"complaint": 0.4}), INTAKE
        ).intent
        == "inform"
    )


def test_a_question_that_would_be_asked_back_or_declined_does_not_interrupt() -> None:
    assert decide("检测的事", scores("policy", 0.7, measures={11: 0.3, 13: 0.3}), INTAKE).intent == "inform"
    assert decide("补贴的事", scores("policy", 0.7), INTAKE).intent == "inform"


@pytest.mark.parametrize("act", ["handoff", "emergency"])
def test_a_person_and_danger_interrupt_an_intake(act: str) -> None:
    assert decide("快点找人来处理一下这件事", scores(act, 0.98), INTAKE).intent == act


def test_a_follow_up_to_an_answer_inside_an_intake_is_answered() -> None:
    context = dataclasses.replace(INTAKE, focus=(9,), last_kind="policy")
    reading = decide("那要交钱吗", scores("followup", 0.95, facet="cost"), context)
    assert (reading.intent, reading.measures) == ("policy", (9,))


# -- the context from outside -----------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, [], "x", 5, {}, {"focus": "9", "last_kind": 5, "picked": {"a": 1}}])
def test_a_context_of_the_wrong_shape_is_empty(data: Any) -> None:
    assert Context.read(data) == Context()


def test_a_context_is_read_as_far_as_it_fits() -> None:
    read = Context.read({"focus": [9, 17, 0, "4", None], "intake": "T", "options": [4, 5], "unknown": 1})
    assert read == Context(focus=(9,), intake="T", options=(4, 5))


# -- parts of a message -----------------------------------------------------------------------------


def with_part(whole: float, **part: Any) -> Scores:
    """Measure 4 clearly, and a part of the message that names measure 5; `whole`: how 5 stands in all of it."""
    some = Part("policy", 0.97, {5: 0.97}, part.get("denied", False))
    return scores("policy", measures={4: 0.99, 5: whole}, parts=(some,))


def test_what_a_part_names_clearly_is_answered_as_well() -> None:
    assert decide("锅炉证到期，另外实验室资质复查怎么弄", with_part(0.1)).measures == (4, 5)


def test_a_part_adds_nothing_that_the_whole_message_rules_out() -> None:
    assert decide("锅炉制造许可到期，评审专家来不了", with_part(0.0001)).measures == (4,)


# -- another province -------------------------------------------------------------------------------


def test_another_province_s_procedure_is_declined() -> None:
    reading = decide("河北那边的锅炉许可证能延期吗", scores("policy", 0.99, {4: 0.99}))
    assert (reading.intent, reading.topic) == ("oos", "other_province")


def test_a_jilin_firm_whose_owner_is_away_is_answered() -> None:
    assert decide("法人隔离在武汉，能网上变更吗", scores("policy", 0.8, {1: 0.95})).measures == (1,)


# -- between the notice and the rest of the world ------------------------------------------------------


def test_a_likely_near_miss_that_names_a_measure_is_asked_back() -> None:
    reading = decide("办个条码收多少钱", scores("oos", 0.62, {12: 0.96}, acts={"policy": 0.36}))
    assert (reading.intent, reading.options) == ("ask_back", (12,))


def test_a_near_miss_that_names_none_or_is_surely_out_of_scope_is_declined() -> None:
    assert decide("几天能好", scores("oos", 0.62, {12: 0.5}, acts={"policy": 0.36})).intent == "oos"
    assert decide("条码枪坏了", scores("oos", 0.9, {12: 0.96}, acts={"policy": 0.08})).intent == "oos"


def test_a_question_read_half_as_a_follow_up_is_answered_when_it_names_its_measure() -> None:
    some = scores("policy", 0.3, {11: 0.97}, acts={"followup": 0.69})
    assert decide("在哪儿下单送检", some).measures == (11,)


# -- a second matter that says it is one -----------------------------------------------------------


def with_second(act: str, score: float, p: float, *, adds: bool) -> Scores:
    """Measure 9 clearly, and a part that names measure 8 less clearly than `part` asks for."""
    some = Part(act, score, {8: p}, False, True, adds)
    return scores("policy", measures={9: 0.99, 8: 0.1}, parts=(some,))


def test_a_second_matter_that_says_so_needs_less() -> None:
    text = "梯子保养能少来几趟吗，另外三C证到日子了"
    assert decide(text, with_second("ambiguous", 0.5, 0.6, adds=True)).measures == (9, 8)
    assert decide(text, with_second("policy", 0.6, 0.6, adds=True)).measures == (9, 8)


def test_but_not_anything() -> None:
    text = "梯子保养能少来几趟吗，另外我想唠唠"
    assert decide(text, with_second("policy", 0.6, 0.6, adds=False)).measures == (9,)
    assert decide(text, with_second("policy", 0.6, 0.4, adds=True)).measures == (9,)
    assert decide(text, with_second("oos", 0.6, 0.6, adds=True)).measures == (9,)
