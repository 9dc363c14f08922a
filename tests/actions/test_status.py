"""How far a case is: only for who has the number and the phone, or the code of an anonymous case."""

from datetime import date

import pytest

from actions.status import ATTEMPTS, SAY
from bot.cases.models import CaseType
from bot.cases.receipts import compose

PHONE = "13904321187"


@pytest.fixture
async def ask(hotline, webhook, remember):
    """Asks in one conversation and gives the payload."""
    talk = await hotline.open()

    async def say(text):
        [payload], _ = await webhook("action_status", talk.id, text, intent="status")
        remember(talk.id, payload)
        assert payload["kind"] == "status"
        return payload

    return say


async def test_number_and_phone_in_one_message(ask, lodge):
    case = lodge()
    payload = await ask(f"查一下{case.number}，手机{PHONE}")
    assert payload["case"] == case.number
    assert "已登记" in payload["text"]
    assert "不表示已受理" in payload["text"]
    assert PHONE not in payload["text"]


async def test_both_are_asked_for_one_after_the_other(ask, lodge):
    case = lodge()
    assert (await ask("我的投诉咋样了"))["text"] == SAY["ask_both"]
    assert (await ask(case.number))["text"] == SAY["ask_phone"].format(number=case.number)
    assert (await ask(PHONE))["case"] == case.number


async def test_the_phone_may_come_first(ask, lodge):
    case = lodge()
    assert (await ask(f"我电话{PHONE}"))["text"] == SAY["ask_number"]
    assert (await ask(case.number))["case"] == case.number


@pytest.mark.parametrize("form", ["{0}", "{1}", "{2} {3}", "１", "jl t {1}"])
async def test_the_number_in_any_way_of_writing(ask, lodge, form):
    case = lodge()
    code = case.sms_code
    written = (
        code.translate(str.maketrans("0123456789", "０１２３４５６７８９"))
        if form == "１"
        else form.format(case.number, code, code[:10], code[10:])
    )
    assert (await ask(f"{written}，{PHONE}"))["case"] == case.number


@pytest.mark.parametrize(
    "written", ["139 0432 1187", "+86 13904321187", "１３９０４３２１１８７", "139-0432-1187"]
)
async def test_the_phone_in_any_way_of_writing(ask, lodge, written):
    case = lodge()
    await ask(case.number)
    assert (await ask(f"电话是{written}"))["case"] == case.number


async def test_a_land_line_proves_as_well(ask, lodge):
    case = lodge(phone="0431-88990011")
    await ask(case.number)
    assert (await ask("0431-88990011"))["case"] == case.number


async def test_an_anonymous_case_wants_its_code_and_no_phone(ask, lodge):
    case = lodge(anonymous=True)
    await ask(case.number)
    assert (await ask(PHONE))["text"] == SAY["not_found"]
    assert (await ask(f"{case.number} {case.query_code}"))["case"] == case.number


async def test_a_wrong_phone_and_an_unknown_number_are_told_alike(ask, lodge):
    case = lodge()
    wrong = await ask(f"{case.number} 13900000000")
    never_given_out = compose(CaseType.COMPLAINT, date(2026, 11, 22), 99_999).number
    unknown = await ask(f"{never_given_out} {PHONE}")
    assert wrong["text"] == unknown["text"] == SAY["not_found"]
    for payload in (wrong, unknown):
        assert payload.get("case") is None
        assert "鑫隆旺" not in payload["text"]


async def test_a_mistyped_number_is_told_before_anything_is_looked_up(ask, lodge):
    case = lodge()
    wrong = case.number[:-1] + str((int(case.number[-1]) + 1) % 10)
    assert (await ask(f"{wrong} {PHONE}"))["text"] == SAY["bad_number"]
    assert (await ask("编号JL-123"))["text"] == SAY["bad_number"]


async def test_attempts_are_limited_even_for_the_right_answer(ask, lodge):
    case = lodge()
    for _ in range(ATTEMPTS):
        assert (await ask(f"{case.number} 13900000000"))["text"] == SAY["not_found"]
    assert (await ask(f"{case.number} {PHONE}"))["text"] == SAY["locked"]


async def test_asking_again_says_that_nothing_is_new(ask, lodge):
    case = lodge()
    first = await ask(f"{case.number} {PHONE}")
    again = await ask("现在呢")
    assert again["case"] == case.number
    assert again["text"] == f"{first['text']}\n{SAY['unchanged']}"


async def test_another_number_replaces_the_first(ask, lodge):
    one, two = lodge("one"), lodge("two")
    await ask(f"{one.number} {PHONE}")
    payload = await ask(two.number)
    assert payload["case"] == two.number
    assert SAY["unchanged"] not in payload["text"]


async def test_what_is_remembered_belongs_to_the_conversation(ask, lodge, hotline, webhook):
    case = lodge()
    await ask(f"{case.number} {PHONE}")
    other = await hotline.open()
    [payload], _ = await webhook("action_status", other.id, "现在呢", intent="status")
    assert payload["text"] == SAY["ask_both"]


async def test_outside_a_conversation_it_still_answers(webhook):
    [payload], _ = await webhook("action_status", "rasa-shell", "查进度")
    assert payload["text"] == SAY["ask_both"]
