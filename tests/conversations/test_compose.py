"""From the engine's decision to words: policy, ask-back, the ladder of misses, focus, languages."""

import pytest

from bot.conversations import compose as module
from bot.conversations.compose import FOCUS_TURNS, compose, greeting, language_of, phrases
from bot.policy import load
from tests.harness import ready

PACK = load()


def turn(kind, state=None, text="", **reading):
    return compose([{"compose": kind}], {"text": text} | reading, state or {}, text)


def only(composed):
    [reply] = composed.replies
    return reply


def test_the_greeting_is_a_bots():
    reply = greeting()
    assert "机器人" in reply.text
    assert reply.answer["kind"] == "chitchat"
    assert "转人工" in [c.label for c in reply.choices]


# -- policy -----------------------------------------------------------------------------------------


def test_one_measure():
    composed = turn("policy", measures=[9], facet="conditions", text="电梯维保能延长吗")
    reply = only(composed)
    assert (reply.answer["kind"], reply.answer["measures"], reply.answer["facets"]) == (
        "policy",
        [9],
        ["conditions"],
    )
    assert reply.answer["specified"] is True
    assert reply.answer["validity"] == "unknown"
    quotes = [c["quote"] for c in reply.answer["citations"]]
    assert quotes
    assert all(quote in PACK.measure(9).text for quote in quotes)
    assert reply.choices[-1].label == "转人工"
    assert composed.state["focus"] == [9]
    assert composed.hand_over == ""


def test_several_measures_are_all_cited():
    reply = only(turn("policy", measures=[4, 14], facet="what", text="换证和贷款"))
    assert reply.answer["measures"] == [4, 14]
    assert {c["measure"] for c in reply.answer["citations"]} == {4, 14}


def test_what_the_notice_leaves_open_is_said():
    reply = only(turn("policy", measures=[9], facet="time", specified=False, text="最长多少天"))
    assert reply.answer["specified"] is False
    assert "没有写" in reply.text


def test_a_policy_reading_without_a_measure_is_no_answer():
    for measures in ([], [0], [17, 99]):
        assert only(turn("policy", measures=measures)).answer["kind"] == "fallback"


def test_measures_that_are_no_more_in_the_pack_are_left_out():
    assert only(turn("policy", measures=[9, 99])).answer["measures"] == [9]


def test_the_last_focus_is_remembered_for_going_back():
    state = turn("policy", measures=[4]).state
    state = turn("policy", state, measures=[9]).state
    assert (state["focus"], state["before"]) == ([9], [4])
    state = turn("policy", state, measures=[9], facet="time").state
    assert (state["focus"], state["before"]) == ([9], [4])


def test_the_focus_expires_after_turns_about_other_things():
    state = turn("policy", measures=[9]).state
    for _ in range(FOCUS_TURNS):
        state = turn("chitchat", state, topic="greet").state
        assert state["focus"] == [9]
    state = turn("chitchat", state, topic="greet").state
    assert state["focus"] == state["before"] == []


def test_an_answer_makes_the_focus_young_again():
    state = turn("policy", measures=[9]).state
    for _ in range(FOCUS_TURNS):
        state = turn("chitchat", state, topic="greet").state
    state = turn("policy", state, measures=[9]).state
    assert turn("chitchat", state, topic="greet").state["focus"] == [9]


# -- the notice, small talk -------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["number", "validity", "list", "date", "no such topic", ""])
def test_the_notice_itself(topic):
    reply = only(turn("notice", topic=topic))
    assert reply.answer["kind"] == "notice"
    assert reply.text


def test_which_measures_are_for_me_asks_one_thing_at_a_time():
    composed = turn("match", text="哪条适合我")
    first = only(composed)
    assert first.answer["kind"] == "clarify"
    assert first.choices
    for _ in range(8):
        state = composed.state
        if "walk" not in state:
            break
        label = only(composed).choices[0].label
        composed = turn("match", state, text=label, topic="walk")
    last = only(composed)
    assert (last.answer["kind"], composed.state.get("walk")) == ("policy", None)
    assert last.answer["measures"]
    assert composed.state["focus"] == last.answer["measures"]


def test_a_firm_that_says_what_it_is_gets_its_measures_at_once():
    assert 14 in only(turn("match", text="我是做口罩的，缺资金，哪些适合我")).answer["measures"]


def test_another_matter_ends_the_walk():
    state = turn("match", text="哪条适合我").state
    assert "walk" in state
    assert "walk" not in turn("policy", state, measures=[9]).state
    assert "walk" not in turn("chitchat", state, topic="greet").state


@pytest.mark.parametrize("topic", [*phrases()["chitchat"], "no such topic"])
def test_small_talk(topic):
    reply = only(turn("chitchat", topic=topic))
    assert reply.answer["kind"] == "chitchat"
    assert reply.text in phrases()["chitchat"].values()


def test_an_angry_citizen_is_offered_a_person():
    assert "转人工" in [c.label for c in only(turn("chitchat", topic="abuse")).choices]


# -- asking back and the ladder ---------------------------------------------------------------------


def test_asking_back_names_at_most_three():
    composed = turn("clarify", options=[4, 5, 8, 13])
    reply = only(composed)
    assert reply.answer["kind"] == "clarify"
    assert reply.answer["options"] == [{"measures": [4]}, {"measures": [5]}, {"measures": [8]}]
    assert [c.picked for c in reply.choices] == [(4,), (5,), (8,), ()]
    assert all(PACK.measure(n).short in reply.text for n in (4, 5, 8))
    assert reply.choices[-1].send == "转人工"
    assert composed.state["options"] == [4, 5, 8]
    assert turn("chitchat", composed.state).state["options"] == []


def test_asking_back_without_anything_to_offer_says_so():
    assert only(turn("clarify", options=[99])).answer["kind"] == "fallback"


def test_a_decline_names_what_is_near():
    reply = only(turn("fallback", scores={"9": 0.4, "4": 0.1}))
    assert reply.answer["kind"] == "fallback"
    assert reply.answer["measures"] == []
    assert PACK.measure(9).short in reply.text
    assert PACK.measure(4).short not in reply.text
    assert "第九条" in reply.text


@pytest.mark.parametrize("kind", ["fallback", "unclear", "clarify"])
def test_the_second_miss_offers_a_person_and_the_third_hands_over(kind):
    first = turn(kind, options=[4, 5])
    second = turn(kind, first.state, options=[4, 5])
    third = turn(kind, second.state, options=[4, 5])
    assert [c.hand_over for c in (first, second, third)] == ["", "", "多次没有听懂"]
    assert only(second).text != only(first).text
    assert any("人工" in (c.send or c.label) for c in only(second).choices)
    assert third.state["misses"] == 0


def test_an_answer_in_between_starts_the_ladder_again():
    state = turn("fallback").state
    state = turn("unclear", state).state
    assert state["misses"] == 2
    state = turn("policy", state, measures=[9]).state
    assert turn("fallback", state).hand_over == ""


def test_mixed_misses_climb_the_same_ladder():
    state = turn("fallback").state
    state = turn("clarify", state, options=[4, 5]).state
    assert turn("unclear", state).hand_over == "多次没有听懂"


# -- ready payloads and several at once -------------------------------------------------------------


def test_an_actions_words_are_taken_as_they_are():
    composed = compose(
        [ready("编号……", "receipt", case="JL-T-1", card={"a": 1}, state={"status": {}})], {}, {}, ""
    )
    reply = only(composed)
    assert (reply.text, reply.answer["kind"], reply.answer["case"], reply.card) == (
        "编号……",
        "receipt",
        "JL-T-1",
        {"a": 1},
    )
    assert composed.state["status"] == {}


def test_a_step_and_its_question_are_one_bubble():
    composed = compose(
        [ready("记下了。", "complaint"), ready("哪一家？", "intake", choices=["跳过"])], {}, {}, ""
    )
    reply = only(composed)
    assert (reply.text, reply.answer["kind"]) == ("记下了。\n哪一家？", "complaint")
    assert [c.label for c in reply.choices] == ["跳过"]


def test_an_answer_inside_an_intake_stays_apart_from_the_question():
    composed = compose(
        [{"compose": "policy"}, ready("哪一家？", "intake")], {"measures": [9], "text": ""}, {}, "电梯"
    )
    assert [r.answer["kind"] for r in composed.replies] == ["policy", "intake"]
    assert composed.state["focus"] == [9]


def test_a_wish_for_a_person_is_handed_over():
    composed = turn("handoff")
    assert (composed.replies, composed.hand_over, composed.urgent) == ([], "要求人工", False)


@pytest.mark.parametrize("before", [0, 1, 7])
def test_the_place_in_the_queue_is_said(before):
    text = module.hand_over_reply(before).text
    assert ("第一位" in text) if before == 0 else (f"前面还有{before}位" in text)


def test_no_payload_and_unknown_payloads_are_mistakes():
    with pytest.raises(ValueError, match="decided nothing"):
        compose([], {}, {}, "")
    with pytest.raises(ValueError, match="unknown payload"):
        compose([{"compose": "dance"}], {}, {}, "")


def test_the_given_state_is_left_alone():
    state = {"focus": [4], "misses": 1, "focus_age": 3}
    turn("policy", state, measures=[9])
    turn("unclear", state)
    assert state == {"focus": [4], "misses": 1, "focus_age": 3}


# -- other languages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I renew my licence?", "en"),
        ("Hello, can we get a loan", "en"),
        ("엘리베이터 유지보수", "ko"),
        ("エレベーターの点検", "ja"),
        ("Как продлить лицензию", "ru"),
        ("电梯维保能延长吗", ""),
        ("3C认证", ""),
        ("ISO9001 CCC QS", ""),
        ("APP下载 link", ""),
        ("我想問下部𨋢嘅保養", "yue"),
        ("唔該，點樣投訴", "yue"),
        ("唔，我知道了", ""),
        ("wo xiang wen dianti weibao neng yanchang ma", "pinyin"),
        ("e chuang tong", ""),
        ("he can send me one", "en"),
        ("я", ""),
        ("", ""),
    ],
)
def test_languages(text, language):
    assert language_of(text) == language


def test_a_foreign_message_gets_one_line_in_its_language_and_the_original():
    reply = only(turn("policy", measures=[9], text="How can we do the elevator maintenance?"))
    line, _, rest = reply.text.partition("\n")
    assert line == phrases()["foreign"]["en"]
    assert "第九条" in rest
    assert reply.answer["measures"] == [9]


def test_danger_comes_before_the_line_about_the_language():
    first = turn("emergency", text="someone collapsed and is not breathing").replies[0]
    assert first.answer["kind"] == "emergency"
    assert first.text.startswith("Call 120")
    assert phrases()["foreign"]["en"] not in first.text
