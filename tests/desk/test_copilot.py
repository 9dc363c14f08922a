"""The copilot: what it shows, why, and what it never does."""

import ast
import json
import re
from datetime import timedelta

import pytest
import yaml
from sqlalchemy import func, select

from bot.cases import store
from bot.cases.models import Case, CaseDraft, CaseType
from bot.conversations import log
from bot.conversations.engine import Decision, EngineFailed
from bot.conversations.models import Conversation, Message
from bot.conversations.switches import set_switch
from bot.desk import copilot, copilot_measures
from bot.desk.copilot_measures import Heard
from bot.desk.copilot_words import phrases
from bot.desk.models import CopilotOutcome
from bot.policy import answers, load
from bot.policy.guide import load_guide
from bot.policy.pack import FACETS
from bot.settings import ROOT

PHONE = "13904321187"
PACK = load()


def reading(intent="policy", confidence=0.97, reason="act", **known):
    return {"intent": intent, "confidence": confidence, "reason": reason, **known}


def entity(text, kind, piece, value=None):
    at = text.index(piece)
    return {"entity": kind, "value": value or piece, "start": at, "end": at + len(piece)}


def about(number, facet="what", score=0.97, **known):
    scores = {str(number): score} | known.pop("rivals", {})
    return reading(reason="measure named", measures=[number], facet=facet, scores=scores, **known)


@pytest.fixture
def ask(desk):
    """What the copilot says to a text, on a scripted reading; None: the engine is down."""

    async def ask(text, read=None, entities=(), conversation_id=None):
        down = EngineFailed("ConnectError: 13904321187")
        desk.engine.script[text] = (
            down if read is None else Decision([], {"text": text} | read, list(entities))
        )
        return await copilot.suggest(desk.engine, desk.readers, text, conversation_id, now=desk.clock())

    return ask


def kinds(found):
    return [one["kind"] for one in found["warnings"]]


def explained(value):
    """All objects that carry a reason, wherever they stand."""
    if isinstance(value, dict):
        if "reason" in value:
            yield value
        for item in value.values():
            yield from explained(item)
    elif isinstance(value, list):
        for item in value:
            yield from explained(item)


# -- measures -------------------------------------------------------------------------------------------


async def test_a_measure_with_clause_conditions_open_points_and_a_sentence(ask):
    found = await ask("电梯维保最长能延几个月", about(9, "time", specified=False))
    [measure] = found["measures"]
    assert measure["clause"] in PACK.text and measure["clause_name"] == "第九条"
    assert (measure["score"], measure["facet"], measure["specified"]) == (0.97, "time", False)
    assert len(measure["conditions"]) == 3
    for condition in measure["conditions"]:
        assert condition in measure["say"]
    assert measure["open"] == ["通知没有写最长多少天、几个月，只说“适当调整或延长”。"]
    assert "费用" in measure["silent_on"] and "对象" not in measure["silent_on"]
    assert measure["validity"]["line"] == PACK.notice.validity.sentence
    assert measure["say"].endswith(phrases()["validity"]["unknown"])
    assert found["say"]["text"] == measure["say"]
    assert found["complete"] is True and found["case"] is None and found["clocks"] == []


@pytest.mark.parametrize("number", sorted(PACK.measures))
def test_no_sentence_drops_a_condition_or_the_validity_and_none_invents_a_number(number):
    measure = PACK.measure(number)
    for facet in FACETS:
        for state in ("unknown", "lapsed", "in_force"):
            part = answers.section(PACK, number, facet)
            said = copilot_measures.spoken(part, state)
            assert all(condition in said for condition in part.conditions)
            assert said.endswith(phrases()["validity"][state]) and part.say.rstrip("：。；") in said
            allowed = "".join(
                [measure.text, part.say, part.note, *part.conditions, phrases()["validity"][state]]
            )
            assert all(figure in allowed for figure in re.findall(r"\d+", said))


async def test_chosen_measures_stand_before_what_only_scores_and_faint_ones_are_left_out(ask):
    found = await ask("我们要贷款", about(14, score=0.6, rivals={"7": 0.7, "1": 0.04, "2": 0.1}))
    assert [(m["measure"], m["chosen"]) for m in found["measures"]] == [(14, True), (7, False), (2, False)]


async def test_every_suggestion_says_why_and_where_from(ask):
    text = f"商场多收我们厂电费，我叫王建国，{PHONE}，要退钱还要查处他"
    found = [
        await ask("资质认定到期了", about(5, rivals={"4": 0.3})),
        await ask(
            "证快到期了", reading("ask_back", options=[4, 8, 5], reason="several measures fit the same words")
        ),
        await ask("这通知还有效吗", reading("notice", topic="validity")),
        await ask(text, reading("complaint"), [entity(text, "phone", PHONE), entity(text, "name", "王建国")]),
        await ask("电梯里困着人呢快来"),
    ]
    for one in found:
        assert all(part["reason"] and part["source"] for part in explained(one))
        assert len(list(explained(one))) >= 3


async def test_what_may_be_meant_is_asked_before_its_conditions(ask):
    read = reading(
        "ask_back", options=[4, 8, 5], scores={"4": 0.02}, reason="several measures fit the same words"
    )
    found = await ask("我的证快到期了能延吗", read)
    [question] = found["questions"]
    assert "认证证书" in question["text"] and question["measures"] == [4, 8, 5]
    assert found["say"]["text"].endswith(question["text"])
    assert not any(measure["chosen"] for measure in found["measures"])


async def test_a_deciding_word_settles_which_one_is_meant(ask):
    read = reading("ask_back", options=[4, 5], scores={"4": 0.3, "5": 0.3})
    assert (await ask("证到期了", read))["questions"]
    assert (await ask("核准证到期了", read))["questions"] == []


async def test_the_walk_asks_what_decides_unless_it_was_told(ask):
    asked = await ask("我们是电梯维保公司，能延吗", about(9))
    assert [q["text"] for q in asked["questions"]] == ["调整维保周期，电梯使用单位同意吗？"]
    told = await ask("我们是电梯维保公司，跟物业商量好了，使用单位同意了，能延吗", about(9))
    assert told["questions"] == []


async def test_a_measure_without_a_question_of_the_walk_has_its_own(ask):
    found = await ask("条码当天能办好吗", about(12))
    assert [q["text"] for q in found["questions"]] == [phrases()["decisive"][12]["ask"]]


async def test_a_question_about_the_notice_gets_its_answer(ask):
    found = await ask("这通知还有效吗", reading("notice", topic="validity"))
    assert found["notice"]["quotes"][0] in PACK.text
    assert found["say"]["text"] == found["notice"]["say"]


async def test_out_of_scope_is_said_openly(ask):
    found = await ask("今天天气咋样", reading("oos"))
    assert found["measures"] == [] and "没有写" in found["say"]["text"]


async def test_a_withdrawn_answer_and_a_changed_validity_are_followed(desk, ask):
    with desk.sessions.begin() as session:
        set_switch(session, "withdrawn:9", True, reason="省里有新规定", by="staff:lead", now=desk.clock())
        set_switch(session, "validity", "lapsed", reason="已核对", by="staff:lead", now=desk.clock())
        set_switch(session, "validity:1", "in_force", reason="已核对", by="staff:lead", now=desk.clock())
    nine = await ask("电梯维保能延吗", about(9))
    assert nine["measures"][0]["withdrawn"] == "省里有新规定"
    assert "适当调整" not in nine["measures"][0]["say"] and "withdrawn" in kinds(nine)
    four = await ask("特种设备换证", about(4))
    assert four["measures"][0]["validity"]["state"] == "lapsed" and "withdrawn" not in kinds(four)
    assert four["measures"][0]["say"].endswith(phrases()["validity"]["lapsed"])
    assert (await ask("网上办照", about(1)))["measures"][0]["validity"]["state"] == "in_force"


# -- the case -------------------------------------------------------------------------------------------

STORY = f"我在欧亚商都买了台洗衣机，三千二，两天就坏了，不给退，我叫王建国，电话{PHONE}"
HEARD = [
    entity(STORY, "company", "欧亚商都"), entity(STORY, "name", "王建国"), entity(STORY, "phone", PHONE),
]  # fmt: skip


async def test_a_case_is_filled_from_the_words_and_says_what_is_missing(ask):
    found = await ask(STORY, reading("complaint"), HEARD)
    case = found["case"]
    assert (case["type"], case["record"], case["certain"]) == ("T", "complaint", True)
    values = {one["field"]: one for one in case["fields"]}
    assert values["respondent"]["value"] == "欧亚商都" and values["name"]["value"] == "王建国"
    assert values["phone"]["value"] == "139****1187"
    for name, piece in (("phone", PHONE), ("name", "王建国"), ("respondent", "欧亚商都")):
        start, end = values[name]["span"]
        assert STORY[start:end] == piece
    assert [one["field"] for one in case["missing"]] == ["respondent_address", "request"]
    asked = [q["field"] for q in found["questions"] if q["about"] == "case"]
    assert asked == ["respondent_address", "request"]
    assert "欧亚商都在什么地方" in found["say"]["text"]
    assert found["routing"]["department"] == "消费者权益保护" and found["routing"]["verified"] is False


async def test_no_unmasked_number_leaves_the_copilot(ask):
    text = STORY + "，身份证220102199003078517，卡号6222021001116245702"
    documents = [
        entity(text, "id_card", "220102199003078517"), entity(text, "bank_card", "6222021001116245702"),
    ]  # fmt: skip
    for read, entities in (
        (reading("complaint"), HEARD + documents),
        (about(9), HEARD + documents),
        (None, ()),
    ):
        found = await ask(text, read, entities)
        shown = json.dumps(found, ensure_ascii=False)
        for secret in (PHONE, "220102199003078517", "6222021001116245702"):
            assert secret not in shown
        assert "documents" in kinds(found)


async def test_clocks_carry_basis_mark_and_whether_they_were_verified(ask):
    found = await ask(STORY, reading("complaint"), HEARD)
    [clock] = found["clocks"]
    assert (clock["due_on"], clock["basis"], clock["mark"]) == (
        "2026-12-01",
        "消费者权益保护法第四十六条",
        "A",
    )
    assert clock["verified"] is False and clock["showable"] is True
    report = await ask("他家卖过期食品，我要举报", reading("report"))
    assert [(c["due_on"], c["mark"], c["showable"]) for c in report["clocks"]] == [("2026-12-11", "M", False)]
    assert (await ask("欠我们货款", reading("request")))["clocks"] == []


async def test_complaint_and_report_in_one_become_two_cases_with_their_own_clocks(ask):
    found = await ask("他家卖假货，要求退一赔三，还要你们查处他", reading("complaint"))
    assert found["case"]["also_report"] is True and "both" in kinds(found)
    assert [clock["type"] for clock in found["clocks"]] == ["T", "J"]
    # What is meant for the citizen's summary is no question for an agent to read out.
    assert not any("确认提交" in question["text"] for question in found["questions"])


async def test_nothing_is_stored_and_the_engine_only_reads(desk, ask):
    await ask(STORY, reading("complaint"), HEARD)
    call = desk.engine.calls[-1]
    assert call.context == {"read_only": True} and call.conversation_id.startswith("copilot-")
    with desk.readers() as session:
        for table in (CaseDraft, Case, Message, Conversation, CopilotOutcome):
            assert session.scalar(select(func.count()).select_from(table)) == 0


@pytest.fixture
def conversation(desk):
    """A conversation in focus of measure 9 with a running draft."""
    with desk.sessions.begin() as session:
        opened, _ = log.open_conversation(session, "widget", desk.clock())
        opened.state = {"focus": [9], "facet": "time", "last_kind": "policy", "misses": 2, "walk": {"x": 1}}
        draft = store.open_draft(session, opened.id, now=desk.clock(), type=CaseType.COMPLAINT)
        fields = {"facts": "买的洗衣机坏了", "name": "王建国", "phone": PHONE, "request": "退款"}
        data = {"type": "complaint", "fields": fields, "privacy_shown": True, "said": {"message_id": "x"}}
        store.save_draft(session, draft, now=desk.clock(), data=data)
        return opened.id


async def test_the_conversations_context_and_running_draft_are_used_and_left_alone(desk, ask, conversation):
    with desk.readers() as session:
        before = session.scalar(select(CaseDraft)).data
    text = "是欧亚商都，在朝阳区工农大路"
    places = [entity(text, "company", "欧亚商都"), entity(text, "address", "朝阳区工农大路")]
    found = await ask(text, reading("complaint"), places, conversation)
    assert desk.engine.calls[-1].context == {
        "focus": [9], "facet": "time", "last_kind": "policy", "read_only": True,
    }  # fmt: skip
    values = {one["field"]: (one["value"], one["span"]) for one in found["case"]["fields"]}
    assert values["respondent"] == ("欧亚商都", [1, 5])
    # A stored name is not shown in clear: that look would belong into the audit log.
    assert values["name"] == ("王***", None) and values["phone"] == ("139****1187", None)
    assert found["case"]["missing"] == []
    with desk.readers() as session:
        assert session.scalar(select(CaseDraft)).data == before


async def test_an_uncertain_case_is_shown_as_such(ask):
    found = await ask("他们也不给个说法，电梯维保能延吗", about(9, acts={"policy": 0.6, "complaint": 0.3}))
    assert found["case"]["certain"] is False and found["measures"][0]["chosen"]
    assert found["say"]["text"] == found["measures"][0]["say"] and "enquiry_or_case" in kinds(found)


# -- warnings -------------------------------------------------------------------------------------------


async def test_an_emergency_stands_first_with_what_to_say(ask):
    found = await ask(
        "电梯里困着人呢，我要投诉物业，身份证220102199003078517",
        reading("complaint", acts={"complaint": 0.6, "emergency": 0.4}),
    )
    first = found["warnings"][0]
    assert first["kind"] == "emergency" and first["call"] == ["119", "110"]
    assert "119" in first["say"] and "不用回我" not in first["say"]
    assert found["say"]["text"].endswith(first["say"])


@pytest.mark.parametrize(
    ("text", "acts", "warned"),
    [
        ("家里煤气味大，头晕", {"emergency": 0.9}, True),
        ("急死我了，执照啥时候能办", {"emergency": 0.0}, False),
        ("锅炉厂的许可证到期了", {"emergency": 0.01}, False),
    ],
)
async def test_only_danger_is_an_emergency(ask, text, acts, warned):
    assert ("emergency" in kinds(await ask(text, about(1, acts=acts)))) is warned


async def test_the_engines_own_view_of_danger_is_told(ask):
    found = await ask("快来人哪出事了", reading("emergency", topic="fire"))
    assert kinds(found)[0] == "emergency" and "119" in found["warnings"][0]["call"]


@pytest.mark.parametrize(
    ("text", "read", "warned"),
    [
        ("检测费免不免，上次他们不给退钱", about(11), True),
        ("电梯维保能延吗", about(9, acts={"policy": 0.7, "complaint": 0.15, "report": 0.1}), True),
        ("电梯维保能延吗", about(9, acts={"policy": 0.99, "complaint": 0.01}), False),
        ("怎么投诉商家", about(15), False),
        ("投诉流程是啥", about(15), False),
        ("他不给退钱，我要投诉", reading("complaint"), False),
    ],
)
async def test_complaint_language_in_an_enquiry(ask, text, read, warned):
    assert ("enquiry_or_case" in kinds(await ask(text, read))) is warned


async def test_a_firms_complaint_is_no_consumers(ask):
    found = await ask("我们厂进的货质量不行，供货商不给退", reading("complaint"))
    assert "business" in kinds(found)
    assert "business" not in kinds(await ask("我买的鞋开胶了，不给退", reading("complaint")))


async def test_a_firms_fee_complaint_goes_through_the_right_door(ask):
    found = await ask("我们厂让商场乱收电费", reading("complaint"))
    assert found["case"]["record"] == "report" and "涉企收费" in found["case"]["reason"]
    assert found["routing"]["caution"]


async def test_a_type_that_the_routing_does_not_expect_is_told(ask):
    found = await ask("商场乱收我们电费", reading("request"))
    [told] = [one for one in found["warnings"] if one["kind"] == "type"]
    assert "举报" in told["text"] and "诉求" in told["text"]


async def test_an_informants_data(ask):
    text = f"举报幸福面包房卖过期面包，我叫李四，{PHONE}"
    own = [entity(text, "name", "李四"), entity(text, "phone", PHONE)]
    assert "informant" in kinds(await ask(text, reading("report"), own))
    nameless = await ask(
        "我要匿名举报，" + text, reading("report"), [entity("我要匿名举报，" + text, "name", "李四")]
    )
    assert "anonymous" in kinds(nameless) and "informant" not in kinds(nameless)
    assert "李四" not in json.dumps(nameless["case"], ensure_ascii=False)
    others = f"举报幸福面包房，老板电话{PHONE}"
    assert "informant" not in kinds(await ask(others, reading("report"), [entity(others, "phone", PHONE)]))


# -- failures -------------------------------------------------------------------------------------------


async def test_without_the_engine_the_rest_is_given_and_said_so(ask, logged):
    found = await ask("我们是电梯维保公司，周期能延吗")
    assert found["complete"] is False and kinds(found) == ["no_engine"]
    assert [(m["measure"], m["score"]) for m in found["measures"]] == [(9, None)]
    case = await ask("我要投诉他家，不给退钱")
    assert case["case"]["record"] == "complaint" and case["clocks"] and case["routing"]
    danger = await ask("着火了快来")
    assert kinds(danger)[:2] == ["emergency", "no_engine"]
    assert any(event["event"] == "copilot_without_engine" for event in logged)


@pytest.mark.parametrize("number", ["220102199003078519", "22010219900307851x", "6222021001116245709"])
async def test_a_mistyped_document_is_masked_without_the_engine_as_well(ask, number):
    found = await ask(f"我要投诉他家，不给退钱，证件{number}")
    assert number not in json.dumps(found) and "documents" in kinds(found)


async def test_an_answer_of_the_engine_without_a_reading_counts_as_none(desk):
    desk.engine.script["你好"] = Decision([], {}, [])
    found = await copilot.suggest(desk.engine, desk.readers, "你好", None, now=desk.clock())
    assert found["complete"] is False


async def test_entities_without_a_place_are_left_out(ask):
    broken = [{"entity": "phone", "value": PHONE}, {"entity": "name", "value": "王", "start": 50, "end": 60}]
    found = await ask("我要投诉", reading("complaint"), broken)
    assert found["case"]["fields"] == []


# -- similar cases --------------------------------------------------------------------------------------


@pytest.fixture
def lodge(desk):
    """Lodges a case; `closed` hours ago, None: still open."""
    count = 0

    def lodge(type=CaseType.COMPLAINT, closed=1, erased=False, confidential=False, **fields):
        nonlocal count
        count += 1
        with desk.sessions.begin() as session:
            draft = store.open_draft(session, f"c{count}", now=desk.clock(), type=type)
            part = store.Part(type, {"phone": PHONE, "name": "孙丽", **fields}, confidential=confidential)
            [case] = store.submit(
                session, draft, parts=[part], message_id=f"m{count}", channel="widget", now=desk.clock()
            )
            if closed is not None:
                case.closed_at = desk.clock() - timedelta(hours=closed)
            if erased:
                case.erased_at = desk.clock()
            return case.number

    return lodge


async def test_similar_closed_cases_are_found_by_words_and_masked(ask, lodge):
    facts = f"我叫孙丽，在欧亚商都买的洗衣机坏了不给退，打{PHONE}"
    like = lodge(facts=facts, respondent="欧亚商都")
    lodge(facts="健身房跑路，办的卡退不了", respondent="大力健身")
    lodge(facts=facts, closed=None)
    lodge(facts=facts, erased=True)
    lodge(type=CaseType.REPORT, facts=facts)
    found = await ask("洗衣机坏了，商都不给退，我要投诉", reading("complaint"))
    [case] = found["similar"]
    assert case["number"] == like and "洗衣机" in case["reason"] and case["likeness"] > 0.3
    assert case["status"] == "已登记" and case["closed_at"]
    for secret in (PHONE, "孙丽", "欧亚商都"):
        assert secret not in case["facts"]


async def test_of_reports_and_confidential_cases_only_the_outcome_is_shown(ask, lodge):
    lodge(type=CaseType.REPORT, facts="小卖店卖过期面包")
    lodge(facts="小卖店卖过期面包还不给退", confidential=True)
    report = await ask("小卖店卖过期面包，举报", reading("report"))
    complaint = await ask("小卖店卖过期面包，要投诉", reading("complaint"))
    assert [one["facts"] for one in (*report["similar"], *complaint["similar"])] == [None, None]


async def test_without_common_words_the_newest_of_the_same_department_are_shown(ask, lodge):
    older = lodge(facts="理发店办卡不给退", closed=9)
    newer = lodge(facts="健身房办卡不给退", closed=2)
    found = await ask("售后太差", reading("complaint"))
    assert [one["number"] for one in found["similar"]] == [newer, older]
    assert all(one["likeness"] is None for one in found["similar"])


async def test_a_database_that_fails_costs_the_similar_cases_only(desk, ask, monkeypatch):
    from bot.storage import DatabaseBusy

    def busy(*_):
        raise DatabaseBusy("locked")

    monkeypatch.setattr(copilot, "similar", busy)
    found = await ask(STORY, reading("complaint"), HEARD)
    assert found["similar"] == [] and found["case"]


# -- the calls ------------------------------------------------------------------------------------------


async def test_the_call_needs_a_log_in_and_gives_the_same(desk):
    desk.engine.script["电梯维保能延吗"] = Decision([], about(9) | {"text": "电梯维保能延吗"}, [])
    body = {"text": "  电梯维保能延吗 "}
    assert (await desk.client().post("/api/v1/copilot/suggest", json=body)).status_code == 401
    answer = await desk.client(desk.agent).post("/api/v1/copilot/suggest", json=body)
    assert answer.status_code == 200
    found = answer.json()
    assert set(found) == {
        "act", "say", "measures", "notice", "questions", "case", "routing", "clocks", "similar", "warnings",
        "complete", "took_ms",
    }  # fmt: skip
    assert found["measures"][0]["measure"] == 9


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"text": " \x00 "}, 422, "empty"),
        ({"text": "字" * 2001}, 413, "too_long"),
        ({"text": "你好", "conversation_id": "none"}, 404, "unknown_conversation"),
        ({"text": 5}, 422, "malformed"),
        ({"text": "你好", "more": 1}, 422, "malformed"),
        ({}, 422, "malformed"),
    ],
)
async def test_what_cannot_be_suggested_to(desk, body, status, code):
    answer = await desk.client(desk.agent).post("/api/v1/copilot/suggest", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_lone_surrogate_is_dropped(desk):
    raw = b'{"text": "\\ud800\\u4f60\\u597d"}'
    headers = {"Content-Type": "application/json"}
    answer = await desk.client(desk.agent, **headers).post("/api/v1/copilot/suggest", content=raw)
    assert answer.status_code == 200 and desk.engine.calls[-1].text == "你好"


@pytest.fixture
def said(desk):
    """(conversation id, seq of the citizen's message, its id)."""
    with desk.sessions.begin() as session:
        opened, _ = log.open_conversation(session, "widget", desk.clock())
        inbound = log.InboundMessage(opened.id, "widget", "x:1", "证要到期了咋整")
        message, _ = log.accept(session, inbound, desk.clock())
        return opened.id, message.seq, message.id


async def test_an_outcome_is_kept_masked_with_its_message_and_correction(desk, said):
    conversation, seq, message_id = said
    body = {
        "kind": "measure", "outcome": "edited", "conversation_id": conversation, "message_seq": seq,
        "suggestion": {"say": f"打{PHONE}", "message_id": "forged", "list": [f"{PHONE}"]},
        "corrected": {"act": "policy", "measures": [8], "facet": "time"},
    }  # fmt: skip
    answer = await desk.client(desk.agent).post("/api/v1/copilot/outcomes", json=body)
    assert answer.status_code == 201
    with desk.readers() as session:
        row = session.get(CopilotOutcome, answer.json()["id"])
    assert (row.staff_id, row.kind, row.outcome) == (desk.agent.id, "measure", "edited")
    assert PHONE not in json.dumps(row.suggestion) and row.suggestion["list"] == ["139****1187"]
    assert row.suggestion["message_id"] == message_id
    assert row.suggestion["corrected"]["measures"] == [8]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"outcome": "liked"}, 422, "malformed"),
        ({"kind": "Measure 1"}, 422, "malformed"),
        ({"suggestion": {"say": "长" * 9000}}, 413, "too_large"),
        ({"conversation_id": "none"}, 404, "unknown_conversation"),
        ({"message_seq": 1}, 422, "malformed"),
        ({"corrected": {"act": "policy", "measures": [99], "facet": "time"}}, 422, "wrong_label"),
        ({"corrected": {"act": "policy", "measures": []}}, 422, "wrong_label"),
    ],
)
async def test_an_outcome_that_cannot_be_recorded_leaves_nothing(desk, change, status, code):
    body = {"kind": "say", "outcome": "accepted", "suggestion": {"text": "您好"}} | change
    answer = await desk.client(desk.agent).post("/api/v1/copilot/outcomes", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    with desk.readers() as session:
        assert session.scalar(select(func.count(CopilotOutcome.id))) == 0


async def test_an_outcome_names_only_a_citizens_message(desk, said):
    conversation, seq, _ = said
    body = {"kind": "say", "outcome": "dropped", "suggestion": {}, "conversation_id": conversation}
    client = desk.client(desk.agent)
    wrong = await client.post("/api/v1/copilot/outcomes", json=body | {"message_seq": seq + 1})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "malformed")
    right = await client.post("/api/v1/copilot/outcomes", json=body | {"message_seq": seq})
    assert right.status_code == 201


# -- the phrases ----------------------------------------------------------------------------------------


def test_every_reason_of_the_gate_has_its_chinese():
    tree = ast.parse((ROOT / "bot" / "engine" / "gate.py").read_text("utf-8"))
    found = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        place = {"Reading": 2, "_policy": 2, "_ask": 2}.get(name)
        if place is not None and len(call.args) > place and isinstance(call.args[place], ast.Constant):
            found.add(call.args[place].value)
    assert len(found) > 20
    assert found == set(phrases()["reasons"])


def test_every_act_has_a_name():
    acts = yaml.safe_load((ROOT / "bot" / "domain" / "acts.yml").read_text("utf-8"))["intents"]
    assert set(acts) <= set(phrases()["acts"])
    assert {entry["case"] for entry in phrases()["acts"].values() if "case" in entry} == set(
        phrases()["words"]
    )


def test_what_is_told_apart_and_decided_exists_in_the_pack():
    facts = {fit.fact for measure in PACK.measures.values() for fit in measure.fits}
    facts |= {fact for need in load_guide().measures.values() for b in need.benefits for fact in b.facts()}
    for pair in phrases()["tell_apart"]:
        assert set(pair["measures"]) <= set(PACK.measures) and re.compile(pair["settled"])
        assert pair["ask"].endswith("？")
    for number, entry in phrases()["decisive"].items():
        assert number in PACK.measures and set(entry["facts"]) <= facts


def test_no_phrase_names_another_number_than_those_of_the_emergency_services():
    text = json.dumps({k: v for k, v in phrases().items() if k != "warnings"}, ensure_ascii=False)
    assert not re.search(r"\d{5,}|https?:|www\.", text)
    assert set(phrases()["validity"]) == set(PACK.notice.validity.sentences)


def test_the_heard_reading_may_be_empty():
    assert copilot_measures.shown(PACK, Heard("")) == []
    assert copilot_measures.questions(PACK, Heard("")) == []


def test_warming_up_needs_neither_engine_nor_database():
    copilot.warm()
