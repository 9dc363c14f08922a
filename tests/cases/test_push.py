"""What leaves the house: facts for whoever handles them, and who reported for nobody."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select

from bot.cases import dispatch, supervision
from bot.cases.models import CaseType
from bot.cases.push import tells_nobody
from bot.crypto import mask_text
from bot.outbox.departments import as_text
from bot.outbox.models import Delivery
from tests.cases.filing import ANONYMOUS, COMPLAINT, FIELDS, PARTS, REPORT, file
from tests.cases.filing import quick_sessions as sessions
from tests.cases.test_workflow import act, get

__all__ = ["sessions"]

SPOKEN = "举报人韩梅梅，电话13904321187，住长春市朝阳区红旗街88号，是长春净源日化厂的"
CONTACT = ("韩梅梅", "13904321187", "139 0432 1187", "红旗街88号")
ANONYMOUS_SUGGESTION = replace(ANONYMOUS, type=CaseType.SUGGESTION)


def sent(sessions):
    """The bodies that are queued, by (notice, part)."""
    with sessions() as session:
        found = session.scalars(select(Delivery).order_by(Delivery.id)).all()
        return {(d.payload["notice"], d.payload["part"]): d.payload for d in found}


def all_notices(sessions, now, part):
    """Every kind of push that a case can cause."""
    (number,) = file(sessions, now, part)
    # Of an anonymous case nobody here knows the name, so that nobody can write it into the opinion.
    opinion = "来电13904321187" if part.anonymous else SPOKEN
    more = {"support": ["消费者权益保护"], "opinion": opinion, "now": now}
    act(sessions, dispatch.do_dispatch, number, lead="产品质量监督", **more)
    act(sessions, supervision.do_supervise, number, opinion=opinion, now=now)
    act(sessions, dispatch.do_withdraw, number, reason=SPOKEN, now=now)
    return number, sent(sessions)


@pytest.mark.parametrize(
    "part",
    [
        *PARTS.values(),
        ANONYMOUS,
        ANONYMOUS_SUGGESTION,
        *(replace(p, confidential=True) for p in PARTS.values()),
    ],
    ids=lambda part: f"{part.type.value}{'-anonymous' * part.anonymous}{'-confidential' * part.confidential}",
)
def test_who_came_with_it_is_told_to_the_lead_only_and_never_of_a_report(sessions, now, part):
    number, bodies = all_notices(sessions, now, part)
    assert set(bodies) == {
        ("dispatch", "主办"), ("support", "协办"), ("supervise", "主办"), ("withdraw", "主办"), ("withdraw", "协办")
    }  # fmt: skip
    secret = part.type is CaseType.REPORT or part.anonymous or part.confidential
    assert tells_nobody(get(sessions, number)) is secret
    for (_, role), body in bodies.items():
        said = json.dumps(body, ensure_ascii=False) + as_text(body)
        if secret or role == "协办":
            assert not [word for word in CONTACT if word in said]
            assert body.get("contact", {}) == {}
            assert mask_text(said) == said
        if secret:
            assert "净源" not in said
    lead = bodies["dispatch", "主办"]
    assert "口罩一撕就破" in json.dumps(lead["facts"], ensure_ascii=False)
    if not secret:
        assert lead["contact"] == {
            "姓名": FIELDS["name"], "电话": FIELDS["phone"], "您的通讯地址": FIELDS["address"]
        }  # fmt: skip


@pytest.mark.parametrize("parts", [(COMPLAINT, REPORT), (COMPLAINT, ANONYMOUS)])
def test_twins_are_not_named_to_a_department(sessions, now, parts):
    numbers = file(sessions, now, *parts)
    for number in numbers:
        act(sessions, dispatch.do_dispatch, number, lead="产品质量监督", opinion="请核实", now=now)
    with sessions() as session:
        found = session.scalars(select(Delivery).order_by(Delivery.id)).all()
    for delivery, (own, other) in zip(found, (numbers, numbers[::-1]), strict=True):
        said = json.dumps(delivery.payload, ensure_ascii=False)
        assert own in said and other not in said


def test_a_request_about_the_department_itself_goes_there_without_the_contact(sessions, now):
    (number,) = file(sessions, now, PARTS["S"], respondent="登记注册和行政审批窗口")
    act(sessions, dispatch.do_dispatch, number, lead="登记注册和行政审批", opinion="请核实", now=now)
    said = json.dumps(sent(sessions)["dispatch", "主办"], ensure_ascii=False)
    assert not [word for word in CONTACT if word in said]


def test_what_a_push_says_of_the_clocks(sessions, now):
    _, bodies = all_notices(sessions, now, COMPLAINT)
    (clock,) = bodies["dispatch", "主办"]["clocks"]
    assert (clock["due_on"], clock["verified"]) == ("2026-12-01", False)
    assert "消费者权益保护法第四十六条" in clock["basis"]
    assert "clocks" not in bodies["supervise", "主办"] and "facts" not in bodies["supervise", "主办"]


@pytest.mark.parametrize(
    "written",
    ["１３９０４３２１１８７", "139-0432-1187", "+86 139 0432 1187", "0431-88881234", "043188881234"],
)
def test_the_own_number_is_taken_out_in_any_way_of_writing(sessions, now, written):
    phone = "043188881234" if written.startswith("04") else FIELDS["phone"]
    (number,) = file(sessions, now, REPORT, facts=f"卖过期奶，找我打{written}", phone=phone)
    act(sessions, dispatch.do_dispatch, number, lead="食品安全监管", opinion="请核实", now=now)
    said = "".join(sent(sessions)["dispatch", "主办"]["facts"].values())
    assert written not in said and "卖过期奶" in said
