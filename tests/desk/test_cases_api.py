"""The desk's calls on cases, through the guard, with one account a role."""

import io
import uuid
from datetime import timedelta

import openpyxl
import pytest
from sqlalchemy import select

from bot import audit
from bot.cases.models import Case
from bot.conversations.attachments import _sealed_as
from bot.conversations.models import Attachment, Conversation
from bot.crypto import data_key
from bot.desk.cases_api import router
from bot.outbox import queue
from bot.outbox.models import Delivery
from bot.settings import ROOT
from bot.staff.models import Role
from bot.staff.permissions import PERMISSIONS, Permission
from tests.cases.filing import ANONYMOUS, COMPLAINT, PARTS, REPORT, REQUEST, file
from tests.cases.test_workflow import PLATFORM

SECRETS = ("13904321187", "139 0432 1187", "韩梅梅", "红旗街88号")
NOWHERE = "JL-T-261122-00099-9"


@pytest.fixture
def number(desk):
    """A complaint."""
    return file(desk.sessions, desk.clock())[0]


@pytest.fixture
async def agent(desk):
    async with desk.client(desk.agent) as http:
        yield http


@pytest.fixture
async def lead(desk):
    async with desk.client(desk.lead) as http:
        yield http


def entries(desk, action=None):
    """(actor, action, subject, detail) of the audit log."""
    with desk.sessions() as session:
        assert audit.verify(session) is None
        found = session.scalars(select(audit.AuditEntry).order_by(audit.AuditEntry.id))
        rows = [
            (e.actor, e.action, e.subject, e.detail) for e in found if e.action.startswith(("case", "outbox"))
        ]
    return [row for row in rows if action is None or row[1] == action]


def of(number, rest=""):
    return f"/api/v1/cases/{number}{rest}"


async def send(http, number, **more):
    body = {"lead": "产品质量监督", "opinion": "请核实"} | more
    return await http.post(of(number, "/dispatch"), json=body)


# who may


EVERY = [(sorted(route.methods)[0], route.path) for route in router.routes]
NEEDED = {
    "/dispatch": Permission.DISPATCH,
    "/return": Permission.DISPATCH,
    "/follow-up": Permission.DISPATCH,
    "/merge": Permission.MERGE,
    "/link": Permission.MERGE,
    "/supervise": Permission.SUPERVISE,
    "/export.csv": Permission.EXPORT,
    "/export.xlsx": Permission.EXPORT,
    "/dead-letters": Permission.DEAD_LETTERS,
    "/revive": Permission.DEAD_LETTERS,
    "/events": Permission.EDIT_CASE,
}


def needed(method, path):
    for end, permission in NEEDED.items():
        if path.endswith(end):
            return permission
    return Permission.EDIT_CASE if method == "PATCH" else Permission.SEE_CASES


@pytest.mark.parametrize(("method", "path"), EVERY)
async def test_nothing_answers_without_a_log_in_and_each_role_as_the_table_says(desk, number, method, path):
    path = path.format(number=number, attachment_id="x", letter_id=1)
    async with desk.client() as stranger:
        refused = await stranger.request(method, path, json={})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "log_in_needed")
        assert number not in refused.text
    for role, staff in zip(Role, (desk.agent, desk.lead, desk.admin)):
        async with desk.client(staff) as http:
            response = await http.request(method, path, json={})
        allowed = needed(method, path) in PERMISSIONS[role]
        assert (response.status_code != 403) is allowed, (role, method, path, response.text)


async def test_every_call_is_walked_and_documented():
    assert len(EVERY) >= 18 and len(set(EVERY)) == len(EVERY)
    document = (ROOT / "docs" / "desk-cases.md").read_text("utf-8")
    table = document.split("| call | needs | does |")[1].split("\n\n")[0]
    for method, path in EVERY:
        end = path.rsplit("/", 1)[-1].replace("{number}.pdf", ".pdf").replace("export.xlsx", ".xlsx")
        assert method in table and end.replace("attachment_id", "id") in table, path


@pytest.mark.parametrize("path", ["", "?unmask=核实", ".pdf", "/attachments"])
async def test_an_unknown_case_is_404(agent, path):
    for number in (NOWHERE, "x", "JL-T-261122", "%00"):
        response = await agent.get(of(number, path))
        assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_case")


# lists


async def test_the_list_is_masked_and_pages(desk, agent):
    made = [file(desk.sessions, desk.clock(), part, conversation=key)[0] for key, part in PARTS.items()]
    got, after = [], None
    while True:
        page = (
            await agent.get("/api/v1/cases", params={"limit": 3} | ({"after": after} if after else {}))
        ).json()
        got += page["cases"]
        after = page["after"]
        if after is None:
            break
    assert [line["number"] for line in got] == made[::-1]
    assert not [secret for secret in SECRETS if secret in str(got)]
    assert got[-1]["clock"] == {"colour": "green", "text": "剩9天"}
    assert (await agent.get("/api/v1/cases", params={"type": "举报"})).json()["cases"][0]["type"] == "J"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"after": "zzz"}, "case_refused"),
        ({"limit": 0}, "malformed"),
        ({"limit": 201}, "malformed"),
        ({"order": "size"}, "malformed"),
        ({"overdue": "maybe"}, "malformed"),
        ({"q": "x" * 201}, "malformed"),
    ],
)
async def test_a_wrong_query_is_refused(agent, query, code):
    response = await agent.get("/api/v1/cases", params=query)
    assert (response.status_code, response.json()["error"]["code"]) == (422, code)


async def test_a_search_by_phone_is_audited_without_the_number(desk, agent, number):
    page = (await agent.get("/api/v1/cases", params={"q": "139 0432 1187"})).json()
    assert (page["by"], [line["number"] for line in page["cases"]]) == ("phone", [number])
    assert entries(desk) == [("staff:agent", "case.search_phone", "phone:139****1187", {"found": 1})]
    for text in (number, "口罩", "不存在的词语"):
        await agent.get("/api/v1/cases", params={"q": text})
    assert len(entries(desk)) == 1


async def test_counts_and_words_of_forms(agent, number):
    found = (await agent.get("/api/v1/cases/counts")).json()
    assert found == {"waiting": 1, "open": 1, "overdue": 0, "urgent": 0, "at_most": 10000}
    words = (await agent.get("/api/v1/cases/terms")).json()
    assert "不属本职" in words["return_reasons"] and "计量" in words["departments"]
    assert words["departments_verified"] is False


# one case


async def test_masked_until_asked_for_and_each_look_audited(desk, agent, number):
    masked = await agent.get(of(number))
    assert masked.json()["masked"] and not [secret for secret in SECRETS if secret in masked.text]
    assert "139****1187" in masked.text and entries(desk) == []
    for _ in range(2):
        full = await agent.get(of(number), params={"unmask": "回电核实"})
        assert not full.json()["masked"] and "13904321187" in full.text and "韩梅梅" in full.text
    assert entries(desk) == [("staff:agent", "case.unmask", f"case:{number}", {"reason": "回电核实"})] * 2
    refused = await agent.get(of(number), params={"unmask": " "})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "reason_needed")
    assert "13904321187" not in refused.text


async def test_without_the_permission_nothing_is_unmasked(desk, agent, number, monkeypatch):
    monkeypatch.setitem(PERMISSIONS, Role.AGENT, PERMISSIONS[Role.AGENT] - {Permission.SEE_PERSONAL_DATA})
    for path in ("", ".pdf", "/attachments/x"):
        response = await agent.get(of(number, path), params={"unmask": "回电核实"})
        assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")
    assert entries(desk) == []


async def test_an_unmasked_look_that_cannot_be_audited_is_not_given(desk, agent, number, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(audit, "record", broken)
    response = await agent.get(of(number), params={"unmask": "回电核实"})
    assert response.status_code == 500 and "1390432" not in response.text


@pytest.mark.parametrize(
    "written", [str.lower, lambda n: n.replace("-", "－"), lambda n: n.replace("JL-", "")]
)
async def test_a_number_in_another_way_of_writing(agent, number, written):
    assert (await agent.get(of(written(number)))).json()["number"] == number


async def test_what_a_case_tells_staff(agent, number):
    case = (await agent.get(of(number))).json()
    (clock,) = case["clocks"]
    assert (clock["due_on"], clock["verified"], clock["text"]) == ("2026-12-01", False, "剩9天")
    assert clock["basis"].startswith("消费者权益保护法")
    assert case["proposal"]["department"] == "产品质量监督"
    assert case["proposal"]["names_verified"] is False
    assert "dispatch" in case["actions"] and case["next_statuses"] == ["待受理", "已受理", "不予受理"]
    assert [event["label"] for event in case["events"]] == ["登记"]


async def test_all_of_a_change_or_nothing(desk, agent, number):
    before = (await agent.get(of(number))).json()
    body = {"fields": {"request": "换货"}, "urgent": True, "assignee": "lead", "reason": "来电补充"}
    refused = await agent.patch(of(number), json=body | {"platform_reg_no": "12"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "case_refused")
    assert "25位" in refused.json()["error"]["message"]
    assert (await agent.get(of(number))).json() == before and entries(desk) == []
    case = (await agent.patch(of(number), json=body | {"platform_reg_no": PLATFORM})).json()
    assert (case["urgent"], case["assignee"], case["platform_reg_no"]) == (True, "李强", PLATFORM)
    assert {"field": "request", "label": "您的要求", "value": "换货"} in case["fields"]
    assert [action for _, action, _, _ in entries(desk)] == [
        "case.correct", "case.urgency", "case.assign", "case.platform"
    ]  # fmt: skip
    assert "换货" not in str(entries(desk))
    assert (await agent.patch(of(number), json={"assignee": ""})).json()["assignee"] is None
    unknown = await agent.patch(of(number), json={"assignee": "nobody"})
    assert unknown.json()["error"]["code"] == "unknown_staff"


async def test_a_case_somebody_else_changed_is_not_overwritten(desk, agent, lead, number):
    read = (await agent.get(of(number))).json()["updated_at"]
    desk.clock.advance(minutes=1)
    assert (await lead.patch(of(number), json={"urgent": True, "reason": "领导批示"})).status_code == 200
    late = await agent.patch(of(number), json={"urgent": False, "reason": "误点", "updated_at": read})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "case_changed")
    now = (await agent.get(of(number))).json()["updated_at"]
    assert (await agent.patch(of(number), json={"assignee": "agent", "updated_at": now})).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"nonsense": 1},
        {"fields": {"facts": "x" * 4001}},
        {"urgent": "perhaps"},
        {"updated_at": "soon"},
        [],
        "x",
    ],
)
async def test_a_malformed_change_is_refused(agent, number, body):
    response = await agent.patch(of(number), json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "malformed")


# the way of a case


async def test_from_intake_to_the_satisfaction_call(desk, agent, lead):
    (number,) = file(desk.sessions, desk.clock(), REQUEST)
    case = (await send(agent, number, support=["消费者权益保护"], due_on="2026-11-27")).json()
    assert (case["stage_label"], case["status"]) == ("已派单", "已转办")
    assert [push["state"] for push in case["dispatches"]] == ["sent", "sent"]
    whole = (await agent.get(of(number))).json()
    assert [push["department"] for push in whole["pushes"]] == ["产品质量监督", "消费者权益保护"]
    events = of(number, "/events")
    steps = [
        ("accept", ""),
        ("handle", ""),
        ("note", "部门来电，明天上门13904321187"),
        ("answer", "已协调退款"),
    ]
    for kind, text in steps:
        done = await agent.post(events, json={"kind": kind, "text": text})
        assert done.status_code == 201, done.text
    assert done.json()["status"] == "已反馈"
    assert (await agent.post(events, json={"kind": "ask_follow_up"})).json()["stage"] == "to_follow_up"
    call = {"reached": True, "solved": False, "satisfaction": "不满意", "reason": "没到账", "then": "redo"}
    assert (await agent.post(of(number, "/follow-up"), json=call)).json()["stage"] == "dispatched"
    assert (await lead.post(of(number, "/supervise"), json={"opinion": "请今日办结"})).json()["supervised"]
    assert not (await lead.post(of(number, "/supervise"), json={"opinion": "已办", "end": True})).json()[
        "supervised"
    ]
    for kind in ("accept", "answer"):
        await agent.post(events, json={"kind": kind, "text": "已退款"})
    call = {"reached": True, "solved": True, "satisfaction": "满意"}
    await agent.post(of(number, "/follow-up"), json=call)
    case = (await agent.post(events, json={"kind": "archive"})).json()
    assert (case["stage_label"], case["status"], case["due_on"]) == ("已归档", "已回访", None)
    whole = (await agent.get(of(number))).json()
    assert whole["notes"][0]["body"] == "部门来电，明天上门139****1187" and whole["notes"][0]["by"] == "王敏"
    assert [call["satisfaction"] for call in whole["follow_ups"]] == ["不满意", "满意"]
    assert {actor for actor, *_ in entries(desk)} == {"staff:agent", "staff:lead"}


async def test_sent_back_to_the_dispatcher(agent, number):
    assert (await agent.post(of(number, "/return"), json={"reason": "不属本职"})).status_code == 409
    await send(agent, number)
    wrong = await agent.post(of(number, "/return"), json={"reason": "不想办"})
    assert wrong.json()["error"]["code"] == "case_refused"
    case = (
        await agent.post(of(number, "/return"), json={"reason": "不属本职", "explanation": "应由计量处"})
    ).json()
    assert case["stage_label"] == "已退回" and case["dispatches"][0]["returned_reason"] == "不属本职"


async def test_two_colleagues_dispatch_the_same_case(desk, agent, lead, number):
    import asyncio

    answers = await asyncio.gather(*(send(http, number) for http in (agent, lead) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    with desk.sessions() as session:
        assert len(session.scalars(select(Delivery)).all()) == 1


async def test_what_cannot_be_done_now_says_where_the_case_stands(agent, number):
    response = await agent.post(of(number, "/events"), json={"kind": "archive", "text": "x"})
    error = response.json()["error"]
    assert error.pop("request_id") == response.headers["x-request-id"]
    assert (response.status_code, error) == (
        409, {"code": "case_not_now", "message": "工单目前是“待派单”，不能归档。"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "note", "text": " "}, "empty"),
        ({"kind": "status"}, "malformed"),
        ({"kind": "status", "status": "立案"}, "case_refused"),
        ({"kind": "dance"}, "malformed"),
        ({"kind": "note", "text": "x" * 2001}, "malformed"),
    ],
)
async def test_a_wrong_event_is_refused(agent, number, body, code):
    response = await agent.post(of(number, "/events"), json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (422, code)


async def test_status_withdrawal_and_reopening(agent, number):
    events = of(number, "/events")
    case = (await agent.post(events, json={"kind": "status", "status": "已受理"})).json()
    assert case["status"] == "已受理" and {c["key"] for c in case["clocks"]} == {
        "accept_complaint",
        "mediation",
    }
    assert (await agent.post(events, json={"kind": "withdraw", "text": "和解"})).json()["closed_at"]
    assert (await agent.post(events, json={"kind": "reopen", "text": "反悔"})).json()["stage"] == "waiting"
    await send(agent, number)
    assert (await agent.post(events, json={"kind": "recall", "text": "派错"})).json()["stage"] == "waiting"


async def test_more_supports(agent, number):
    await send(agent, number)
    case = (await send(agent, number, lead="", support=["计量"], add=True)).json()
    assert [sent["department"] for sent in case["dispatches"]] == ["产品质量监督", "计量"]


async def test_merge_and_link(desk, lead):
    first, report = file(desk.sessions, desk.clock(), COMPLAINT, REPORT)
    (second,) = file(desk.sessions, desk.clock(), conversation="c2")
    merged = (await lead.post(of(second, "/merge"), json={"number": first})).json()
    assert (merged["duplicate_of"], merged["stage"]) == (first, "merged")
    assert (await lead.get(of(first))).json()["duplicates"] == [second]
    (third,) = file(desk.sessions, desk.clock(), conversation="c3")
    (fourth,) = file(desk.sessions, desk.clock(), ANONYMOUS, conversation="c4")
    assert (await lead.post(of(third, "/link"), json={"number": fourth})).json()["twin_number"] == fourth
    assert (await lead.post(of(third, "/link"), json={"number": report})).status_code == 422
    assert (await lead.post(of(third, "/link"), json={"number": NOWHERE})).status_code == 404


# files


async def test_exports_are_masked_unless_there_is_a_reason_and_always_audited(desk, lead, number):
    masked = await lead.get("/api/v1/cases/export.csv", params={"type": "T"})
    assert masked.headers["content-type"].startswith("text/csv") and masked.content.startswith(
        b"\xef\xbb\xbf"
    )
    assert number in masked.text and not [secret for secret in SECRETS if secret in masked.text]
    book = await lead.get("/api/v1/cases/export.xlsx", params={"unmask": "移交平台"})
    sheet = openpyxl.load_workbook(io.BytesIO(book.content)).active
    assert "13904321187" in [cell.value for cell in sheet[2]]
    assert (await lead.get("/api/v1/cases/export.csv", params={"unmask": ""})).status_code == 422
    assert [(action, detail) for _, action, _, detail in entries(desk)] == [
        ("case.export_csv", {"rows": 1, "unmasked": False, "reason": None}),
        ("case.export_xlsx", {"rows": 1, "unmasked": True, "reason": "移交平台"}),
    ]


async def test_an_export_holds_what_the_list_was_narrowed_to(desk, lead):
    for index in range(3):
        file(
            desk.sessions,
            desk.clock(),
            conversation=f"c{index}",
            facts=f"{'口罩' if index else '电饭锅'}漏电",
        )
    got = await lead.get("/api/v1/cases/export.csv", params={"q": "口罩 漏电"})
    assert len(got.text.strip().splitlines()) == 3


async def test_a_pdf_is_audited_masked_or_not(desk, agent, number):
    for query in ({}, {"unmask": "存档"}):
        response = await agent.get(of(number, ".pdf"), params=query)
        assert (response.headers["content-type"], response.content[:5]) == ("application/pdf", b"%PDF-")
    assert [detail for _, _, _, detail in entries(desk, "case.print")] == [
        {"reason": None, "unmasked": False}, {"reason": "存档", "unmasked": True}
    ]  # fmt: skip


@pytest.fixture
def picture(desk, number):
    """A sealed file of the case: (id, content)."""
    id, content = str(uuid.uuid4()), b"\x89PNG picture of a receipt"
    folder = desk.config.home_dir / "attachments"
    folder.mkdir(exist_ok=True)
    (folder / id).write_bytes(data_key().encrypt(content, _sealed_as(id)))
    with desk.sessions.begin() as session:
        at = desk.clock()
        session.add(
            Conversation(id="c1", channel="widget", token_hash="x", state={}, created_at=at, updated_at=at)
        )
        session.flush()
        session.add(
            Attachment(
                id=id,
                conversation_id="c1",
                case_number=number,
                name="小票 1.png",
                media_type="image/png",
                size=len(content),
                sha256="x",
                created_at=at,
            )
        )
    return id, content


async def test_files_are_listed_and_looked_at_with_a_reason(desk, agent, number, picture):
    id, content = picture
    (listed,) = (await agent.get(of(number, "/attachments"))).json()["attachments"]
    assert (listed["id"], listed["name"]) == (id, "小票 1.png")
    assert (await agent.get(of(number))).json()["attachments"] == [listed]
    refused = await agent.get(of(number, f"/attachments/{id}"))
    assert refused.json()["error"]["code"] == "reason_needed" and entries(desk) == []
    got = await agent.get(of(number, f"/attachments/{id}"), params={"unmask": "核对小票"})
    assert got.content == content and got.headers["content-disposition"].startswith("attachment;")
    assert entries(desk)[-1][1] == "case.attachment"


async def test_a_file_is_not_given_through_another_case(desk, agent, number, picture):
    (other,) = file(desk.sessions, desk.clock(), REPORT, conversation="c9")
    for name in (picture[0], "../data.key", "x"):
        response = await agent.get(of(other, f"/attachments/{name}"), params={"unmask": "核对小票"})
        assert response.status_code == 404
    with desk.sessions.begin() as session:
        session.get(Case, number).twin_number = other
    assert (await agent.get(of(other, "/attachments"))).json()["attachments"] == []


# dead letters


async def test_dead_letters_are_shown_without_their_content_and_revived(desk, agent, lead, number):
    await send(agent, number)
    with desk.sessions.begin() as session:
        (leased,) = queue.lease(session, "w", desk.clock())
        queue.failed(session, leased.id, "refused with 422", desk.clock(), final=True)
    shown = await lead.get("/api/v1/dead-letters")
    (letter,) = shown.json()["dead_letters"]
    assert (letter["case_number"], letter["department"], letter["last_error"]) == (
        number, "产品质量监督", "refused with 422"
    )  # fmt: skip
    assert not [secret for secret in SECRETS if secret in shown.text]
    assert (await lead.post(f"/api/v1/dead-letters/{letter['id']}/revive")).status_code == 201
    assert (await lead.post(f"/api/v1/dead-letters/{letter['id']}/revive")).status_code == 404
    assert (await lead.get("/api/v1/dead-letters")).json()["counts"] == {"pending": 1, "leased": 0, "dead": 0}
    assert entries(desk, "outbox.revive")
    with desk.sessions.begin() as session:
        (again,) = queue.lease(session, "w", desk.clock() + timedelta(seconds=1))
        assert again.delivery_id == letter["delivery_id"]
