"""The calls on staff, roster, shift reports, calls, switches, audit and retention; and who may make them."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot import audit
from bot.conversations import log
from bot.conversations.models import CallBack
from bot.desk import admin_api, escalation
from bot.desk.auth import requires
from bot.settings import ROOT
from bot.staff import accounts
from bot.staff.models import Staff
from bot.staff.permissions import Permission
from tests.desk.conftest import PASSWORD
from tests.staff.test_permissions import MATRIX

API = "/api/v1"
# Call to the permission it needs; "" is any log-in. A call of the module that is missing here fails the test.
CALLS = {
    ("GET", "/me"): "",
    ("POST", "/me/password"): "",
    ("GET", "/staff"): "staff",
    ("GET", "/colleagues"): "",
    ("POST", "/staff"): "staff",
    ("PATCH", "/staff/{username}"): "staff",
    ("POST", "/staff/{username}/password"): "staff",
    ("POST", "/staff/{username}/totp"): "staff",
    ("GET", "/roster"): "",
    ("PUT", "/roster"): "roster",
    ("POST", "/roster/copy"): "roster",
    ("GET", "/shift-reports"): "answer",
    ("GET", "/shift-reports/draft"): "answer",
    ("POST", "/shift-reports"): "answer",
    ("POST", "/shift-reports/{report_id}/sign"): "answer",
    ("GET", "/calls"): "",
    ("POST", "/calls/{page_id}/acknowledge"): "",
    ("GET", "/switches"): "switches",
    ("POST", "/switches"): "switches",
    ("GET", "/audit"): "audit",
    ("GET", "/audit/verify"): "audit",
    ("GET", "/retention"): "erase",
    ("POST", "/retention/run"): "erase",
    ("POST", "/persons/export"): "erase",
    ("POST", "/persons/erase"): "erase",
}
BODIES = {
    "/staff": {"username": "new", "name": "新人"},
    "/staff/{username}": {"role": "lead"},
    "/staff/{username}/totp": {"on": False},
    "/me/password": {"old": "x", "new": "Song-Hua Jiang 9"},
    "/roster": {"day": "2026-11-22", "period": "早", "post": "主班", "username": "agent"},
    "/roster/copy": {"from_day": "2026-11-22", "to_day": "2026-11-29"},
    "/shift-reports": {},
    "/switches": {"key": "people_first", "value": True, "reason": "演练"},
    "/persons/export": {"phone": "13904321187"},
    "/persons/erase": {"phone": "13904321187", "reason": "本人申请"},
}


def test_every_call_is_in_the_matrix_and_in_the_document():
    there = {
        (method, route.path.removeprefix(API))
        for route in admin_api.router.routes
        for method in route.methods
    }
    assert there == set(CALLS)
    told = (ROOT / "docs" / "desk-admin.md").read_text("utf-8")
    for method, path in CALLS:
        assert f"`{method} {API}{path}`" in told


@pytest.mark.parametrize(("method", "path"), CALLS, ids=lambda value: value)
async def test_who_may_make_the_call(desk, method, path):
    needed = CALLS[method, path]
    target = API + path.replace("{username}", "lead").replace("{report_id}", "99").replace("{page_id}", "99")
    for place, staff in enumerate((desk.agent, desk.lead, desk.admin)):
        response = await desk.client(staff).request(method, target, json=BODIES.get(path))
        allowed = not needed or MATRIX[needed][place]
        code = response.json().get("error", {}).get("code")
        assert (code != "forbidden") == bool(allowed), (staff.role, response.text)
        if allowed:
            assert response.status_code < 500 and code not in ("malformed", "log_in_needed"), response.text


async def test_me_tells_what_i_may(desk):
    body = (await desk.client(desk.agent).get(f"{API}/me")).json()
    assert (body["username"], body["role_name"], body["held"]) == ("agent", "值班员", None)
    assert body["permissions"] == sorted(p for p, row in MATRIX.items() if row[0])


async def test_an_account_from_its_making_to_its_end(desk):
    admin = desk.client(desk.admin)
    made = await admin.post(f"{API}/staff", json={"username": "Sun", "name": "孙悦", "role": "agent"})
    assert made.status_code == 201
    body = made.json()
    assert (body["username"], body["must_change_password"], len(body["password"])) == ("sun", True, 20)
    again = await admin.post(f"{API}/staff", json={"username": "sun", "name": "孙悦"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "username_taken")
    fresh = desk.client()
    token = (await fresh.post("/login", json={"username": "sun", "password": body["password"]})).json()[
        "token"
    ]
    fresh.headers["Authorization"] = f"Bearer {token}"
    assert (await fresh.get(f"{API}/colleagues")).json()["error"]["code"] == "password_change"
    assert (await fresh.get(f"{API}/me")).json()["held"] == "password_change"
    change = {"old": body["password"], "new": "Song-Hua Jiang 9"}
    wrong = await fresh.post(f"{API}/me/password", json=change | {"old": "x"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "log_in_refused")
    assert (await fresh.post(f"{API}/me/password", json=change)).json() == {"changed": True}
    names = (await fresh.get(f"{API}/colleagues")).json()["colleagues"]
    assert {"username": "sun", "name": "孙悦", "role": "值班员"} in names
    raised = await admin.patch(f"{API}/staff/sun", json={"role": "lead"})
    assert raised.json()["role_name"] == "班长"
    assert (await fresh.get(f"{API}/switches")).status_code == 200  # at once, in the same log-in
    closed = await admin.patch(f"{API}/staff/sun", json={"active": False})
    assert closed.json()["active"] is False
    assert (await fresh.get(f"{API}/me")).status_code == 401
    shown = {s["username"]: s["active"] for s in (await admin.get(f"{API}/staff")).json()["staff"]}
    assert shown == {"admin": True, "agent": True, "lead": True, "sun": False}


async def test_a_reset_lifts_the_lock_and_ends_log_ins(desk):
    agent = desk.client(desk.agent)
    for _ in range(5):
        await desk.client().post("/login", json={"username": "agent", "password": "x"})
    admin = desk.client(desk.admin)
    [locked] = [s for s in (await admin.get(f"{API}/staff")).json()["staff"] if s["locked_until"]]
    assert locked["username"] == "agent"
    password = (await admin.post(f"{API}/staff/agent/password")).json()["password"]
    assert (await agent.get(f"{API}/me")).status_code == 401
    fresh = await desk.client().post("/login", json={"username": "agent", "password": password})
    assert fresh.json()["must_change_password"] is True


async def test_codes_are_switched_by_the_administrator(desk):
    admin = desk.client(desk.admin)
    on = (await admin.post(f"{API}/staff/agent/totp", json={"on": True})).json()
    assert re.fullmatch(r"[A-Z2-7]{32}", on["secret"]) and on["address"].startswith("otpauth://")
    refused = await desk.client().post("/login", json={"username": "agent", "password": PASSWORD})
    assert refused.status_code == 401
    assert (await admin.post(f"{API}/staff/agent/totp", json={"on": False})).json()["secret"] is None
    entered = await desk.client().post("/login", json={"username": "agent", "password": PASSWORD})
    assert entered.status_code == 200
    assert (await admin.get(f"{API}/staff")).text.count("secret") == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/staff/nobody/password", None, 422, "unknown_staff"),
        ("/staff", {"username": "a", "name": "b", "role": "king"}, 422, "malformed"),
        ("/staff", {"username": "a", "name": "b", "password": "x"}, 422, "malformed"),
        ("/me/password", {"old": PASSWORD, "new": "short"}, 422, "weak_password"),
        ("/switches", {"key": "people_first", "value": True, "reason": " "}, 422, "reason_needed"),
        ("/switches", {"key": "unknown", "value": True, "reason": "x"}, 422, "malformed"),
        ("/persons/erase", {"phone": "13904321187", "reason": " "}, 422, "reason_needed"),
        ("/persons/export", {"phone": "no number"}, 422, "malformed"),
        ("/shift-reports/99/sign", None, 404, "not_found"),
        ("/calls/99/acknowledge", None, 404, "not_found"),
    ],
)
async def test_what_cannot_be_done(desk, path, body, status, code):
    response = await desk.client(desk.admin).post(API + path, json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_the_last_administrator_is_not_closed(desk):
    response = await desk.client(desk.admin).patch(f"{API}/staff/admin", json={"active": False})
    assert (response.status_code, response.json()["error"]["code"]) == (409, "last_admin")


async def test_the_roster_shows_now_the_plan_and_its_gaps(desk):
    lead = desk.client(desk.lead)
    for period in "早中夜":
        for post, username in (("主班", "agent"), ("副班", "lead"), ("带班领导", "admin")):
            body = {"day": "2026-11-22", "period": period, "post": post, "username": username}
            assert (await lead.put(f"{API}/roster", json=body)).json() == body
    shown = (await desk.client(desk.agent).get(f"{API}/roster", params={"days": 2})).json()
    assert shown["now"] == {
        "day": "2026-11-22", "period": "早", "until": "2026-11-22T16:00:00+08:00",
        "posts": {"主班": "王敏", "副班": "李强", "带班领导": "赵静"},
    }  # fmt: skip
    assert len(shown["shifts"]) == 18 and len(shown["gaps"]) == 9
    assert {gap["day"] for gap in shown["gaps"]} == {"2026-11-23"}
    copied = await lead.post(f"{API}/roster/copy", json={"from_day": "2026-11-22", "to_day": "2026-11-29"})
    assert copied.json() == {"added": 9}
    await lead.put(f"{API}/roster", json=body | {"username": None})
    later = (
        await desk.client(desk.agent).get(f"{API}/roster", params={"start": "2026-11-22", "days": 1})
    ).json()
    assert later["gaps"] == [{"day": "2026-11-22", "period": "夜", "post": "带班领导"}]


def wait(desk, urgent=False):
    with desk.sessions.begin() as session:
        opened, _ = log.open_conversation(session, "widget", desk.clock())
        log.queue_hand_over(session, opened.id, "用户要求", urgent=urgent, now=desk.clock())
        return opened.id


async def test_a_shift_is_handed_over_with_what_is_open_and_signed_by_the_other(desk):
    waiting = wait(desk, urgent=True)
    with desk.sessions.begin() as session:
        session.add(
            CallBack(
                id="c1", conversation_id=waiting, phone="13904321187", state="open", created_at=desk.clock(),
                due_at=desk.clock() - timedelta(minutes=1),
            )
        )  # fmt: skip
    agent = desk.client(desk.agent)
    items = (await agent.get(f"{API}/shift-reports/draft")).json()["items"]
    assert items["waiting"]["shown"][0]["conversation"] == waiting
    made = await agent.post(f"{API}/shift-reports", json={"remarks": "夜里留意电梯来电"})
    report = made.json()
    assert (made.status_code, report["written_by"], report["taken_by"]) == (201, "王敏", None)
    assert report["content"]["items"]["call_backs"] == {
        "count": 1,
        "shown": [
            {
                "call_back": "c1", "conversation": waiting, "overdue": True,
                "due_at": (desk.clock() - timedelta(minutes=1)).astimezone(
                    __import__("datetime").timezone.utc
                ).isoformat(),
            }
        ],
    }  # fmt: skip
    assert "13904321187" not in made.text
    own = await agent.post(f"{API}/shift-reports/{report['id']}/sign")
    assert (own.status_code, own.json()["error"]["code"]) == (409, "same_person")
    signed = await desk.client(desk.lead).post(f"{API}/shift-reports/{report['id']}/sign")
    assert signed.json()["taken_by"] == "李强"
    twice = await desk.client(desk.admin).post(f"{API}/shift-reports/{report['id']}/sign")
    assert twice.json()["error"]["code"] == "already_signed"
    listed = (await agent.get(f"{API}/shift-reports")).json()["reports"]
    assert [r["taken_by"] for r in listed] == ["李强"]


async def test_a_call_rings_for_the_one_who_is_called(desk):
    lead = desk.client(desk.lead)
    body = {"day": "2026-11-22", "period": "早", "post": "主班", "username": "agent"}
    await lead.put(f"{API}/roster", json=body)
    waiting = wait(desk, urgent=True)
    with desk.sessions.begin() as session:
        escalation.climb(session, desk.clock())
    agent = desk.client(desk.agent)
    [call] = (await agent.get(f"{API}/calls")).json()["calls"]
    assert (call["conversation_id"], call["urgent"], call["post"]) == (waiting, True, "主班")
    assert (await lead.get(f"{API}/calls")).json()["calls"] == []
    assert (await lead.post(f"{API}/calls/{call['id']}/acknowledge")).status_code == 404
    assert (await agent.post(f"{API}/calls/{call['id']}/acknowledge")).status_code == 200
    assert (await agent.get(f"{API}/calls")).json() == {"calls": [], "overdue_call_backs": []}


async def test_a_switch_is_turned_with_its_reason_and_by_whom(desk):
    lead = desk.client(desk.lead)
    body = {"key": "withdrawn:9", "value": True, "reason": "省厅正在核实"}
    assert (await lead.post(f"{API}/switches", json=body)).status_code == 201
    shown = (await lead.get(f"{API}/switches")).json()
    assert shown["in_force"][0] | {"set_at": 0} == body | {"set_by": "staff:lead", "set_at": 0}
    with desk.readers() as session:
        entry = session.scalars(select(audit.AuditEntry).order_by(audit.AuditEntry.id.desc()).limit(1)).one()
        assert (entry.actor, entry.subject) == ("staff:lead", "switch:withdrawn:9")


async def test_the_audit_log_is_read_page_by_page_and_verified(desk, monkeypatch):
    monkeypatch.setattr(admin_api, "AUDIT_PAGE", 2)
    admin = desk.client(desk.admin)
    first = (await admin.get(f"{API}/audit")).json()["entries"]
    assert [e["subject"] for e in first] == ["staff:admin", "staff:lead"]
    more = (await admin.get(f"{API}/audit", params={"before": first[-1]["id"]})).json()["entries"]
    assert [e["subject"] for e in more] == ["staff:agent"]
    assert (await admin.get(f"{API}/audit", params={"actor": "staff:x"})).json() == {"entries": []}
    found = (await admin.get(f"{API}/audit", params={"subject": "staff:lead"})).json()["entries"]
    assert [e["detail"] for e in found] == [{"role": "lead"}]
    verified = (await admin.get(f"{API}/audit/verify")).json()
    assert (verified["holds"], verified["broken"], verified["entries"]) == (True, None, 3)


async def test_retention_through_the_calls_is_audited_as_who_did_it(desk):
    admin = desk.client(desk.admin)
    assert (await admin.get(f"{API}/retention")).json()["cases"] == 0
    assert (await admin.post(f"{API}/retention/run")).json()["cases"] == 0
    body = {"phone": "13904321187"}
    assert (await admin.post(f"{API}/persons/export", json=body)).json()["cases"] == []
    erased = await admin.post(f"{API}/persons/erase", json=body | {"reason": "本人申请"})
    assert erased.json()["kept"] == []
    with desk.readers() as session:
        entries = session.scalars(select(audit.AuditEntry).where(audit.AuditEntry.action.like("retention%")))
        assert [(e.actor, e.action) for e in entries] == [
            ("staff:admin", "retention.run"),
            ("staff:admin", "retention.export"),
            ("staff:admin", "retention.erase"),
        ]


def test_a_permission_is_refused_by_its_dependency():
    from bot.errors import HotlineError

    check = requires(Permission.STAFF).dependency
    with pytest.raises(HotlineError):
        check(Staff(role="lead", active=True))
    admin = Staff(role="admin", active=True)
    assert check(admin) is admin
    assert accounts.actor(Staff(username="wang")) == "staff:wang"


async def test_an_open_log_in_is_no_way_to_guess_the_password(make_desk):
    desk = make_desk(rate_limits="on")
    desk.app.state.log_ins.clock = lambda: 0.0
    client = desk.client(desk.agent)
    body = {"old": "x", "new": "Song-Hua Jiang 9"}
    codes = [(await client.post(f"{API}/me/password", json=body)).status_code for _ in range(32)]
    assert (codes.count(401), codes[-1]) == (30, 429)
