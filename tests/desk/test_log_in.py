"""The log-in page, cookies, cross-site requests, accounts that must do something first, idle and expiry."""

import re

import pyotp
import pytest

from bot.desk.auth import COOKIE, Guard
from bot.desk.login_pages import safe_next
from bot.staff import accounts
from tests.desk.conftest import ORIGIN, PASSWORD


async def form(client):
    page = (await client.get("/login")).text
    return re.search(r'name="form" value="([^"]+)"', page)[1]


async def log_in(client, username="agent", password=PASSWORD, origin=ORIGIN, **fields):
    data = {"username": username, "password": password, "form": await form(client)} | fields
    return await client.post("/login", data=data, headers={"Origin": origin} if origin else {})


async def test_the_form_logs_in_with_a_cookie_that_scripts_and_other_sites_never_get(desk):
    client = desk.client()
    response = await log_in(client, next="/queue")
    assert (response.status_code, response.headers["location"]) == (303, "/queue")
    [cookie] = [c for c in response.headers.get_list("set-cookie") if c.startswith(f"{COOKIE}=")]
    assert {"HttpOnly", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "samesite=strict" in cookie.lower() and "secure" not in cookie.lower()
    assert (await client.get("/account")).status_code == 200


async def test_behind_tls_the_cookie_is_secure_and_the_browser_is_told_to_stay(make_desk):
    client = make_desk(desk_cookie_secure=True).client()
    client.base_url = "https://desk.test"
    response = await log_in(client, origin="https://desk.test")
    assert all("; Secure" in cookie for cookie in response.headers.get_list("set-cookie"))
    assert "max-age" in response.headers["strict-transport-security"]


@pytest.mark.parametrize(
    ("username", "password"), [("agent", "wrong"), ("nobody", PASSWORD), ("", ""), ("agent'--", "x" * 9000)]
)
async def test_every_wrong_log_in_gets_the_same_answer(desk, username, password):
    response = await log_in(desk.client(), username, password)
    assert response.status_code == 401
    assert "用户名、密码或动态验证码不对" in response.text
    assert COOKIE + "=" not in response.headers.get("set-cookie", "")


async def test_what_was_typed_comes_back_escaped(desk):
    response = await log_in(desk.client(), '"><script>alert(1)</script>', "x")
    assert "<script" not in response.text


async def test_a_log_in_from_another_site_or_without_the_forms_value_is_refused(desk):
    client = desk.client()
    assert (await log_in(client, origin="http://evil.test")).status_code == 403
    assert (await log_in(client, origin=None)).status_code == 403
    assert (await log_in(client, form="x")).status_code == 403
    assert COOKIE not in client.cookies


@pytest.mark.parametrize(
    "target", ["//evil.test", "/\\evil.test", "https://evil.test", "evil", "/login", "/logout", "/a\r\nb", ""]
)
def test_a_log_in_never_leads_elsewhere(target):
    assert safe_next(target) == "/"
    assert safe_next("/cases?type=T") == "/cases?type=T"


async def test_a_page_that_was_asked_for_comes_after_the_log_in(desk):
    response = await desk.client().get("/cases/JL-1")
    assert response.headers["location"] == "/login?next=/cases/JL-1"
    page = (await desk.client().get(response.headers["location"])).text
    assert 'name="next" value="/cases/JL-1"' in page


async def test_a_program_logs_in_with_json_and_gets_a_token(desk):
    client = desk.client()
    response = await client.post("/login", json={"username": "lead", "password": PASSWORD})
    body = response.json()
    assert (response.status_code, body["role"], COOKIE in client.cookies) == (200, "lead", False)
    client.headers["Authorization"] = f"Bearer {body['token']}"
    assert (await client.get("/openapi.json")).status_code == 200
    refused = await desk.client().post("/login", json={"username": "lead", "password": "x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "log_in_refused")
    for wrong in ("[]", '{"username": 1}', "{"):
        response = await desk.client().post(
            "/login", content=wrong, headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 422


async def test_an_endless_body_is_refused_before_it_is_read(desk):
    async def endless():
        raise AssertionError("somebody read it")
        yield b""

    client = desk.client()
    assert (await client.post("/login", content=b"x" * 20_000)).status_code == 413
    assert (await client.post("/login", content=endless())).status_code == 413


async def test_too_many_log_ins_from_one_address_wait(make_desk):
    desk = make_desk(rate_limits="on")
    desk.app.state.log_ins.clock = lambda: 0.0
    client = desk.client()
    for _ in range(30):
        await client.post("/login", json={"username": "nobody", "password": "x"})
    response = await client.post("/login", json={"username": "agent", "password": PASSWORD})
    assert (response.status_code, int(response.headers["retry-after"]) >= 1) == (429, True)


async def test_a_cookie_changes_nothing_from_another_site(desk):
    client = desk.client()
    await log_in(client)
    for headers in (
        {},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
        {"Sec-Fetch-Site": "same-site", "Origin": ORIGIN},
    ):
        response = await client.post("/logout", headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (403, "cross_site")
    assert (await client.post("/logout", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 303
    assert (await client.get("/account")).status_code == 303


async def test_a_log_out_ends_the_token_itself(desk):
    client = desk.client()
    await log_in(client)
    token = client.cookies[COOKIE]
    await client.post("/logout", headers={"Origin": ORIGIN})
    again = desk.client(Cookie=f"{COOKIE}={token}")
    assert (await again.get("/account")).status_code == 303


async def test_a_page_log_in_ends_unused_and_lives_while_it_is_used(desk):
    client = desk.client()
    await log_in(client)
    for _ in range(4):
        desk.clock.advance(minutes=50)
        assert (await client.get("/account")).status_code == 200
    desk.clock.advance(minutes=61)
    assert (await client.get("/account")).status_code == 303


async def test_a_log_in_ends_after_twelve_hours_of_work(desk):
    client = desk.client()
    await log_in(client)
    for _ in range(14):
        desk.clock.advance(minutes=51)
        assert (await client.get("/account")).status_code == 200
    desk.clock.advance(minutes=10)
    assert (await client.get("/account")).status_code == 303


async def test_a_closed_account_is_out_at_once(desk):
    client = desk.client(desk.agent)
    assert (await client.get("/account")).status_code == 200
    with desk.sessions.begin() as session:
        accounts.set_active(session, desk.agent, False, now=desk.clock())
    assert (await client.get("/account")).status_code == 303


async def test_a_first_password_must_be_replaced_before_anything_else(desk):
    with desk.sessions.begin() as session:
        accounts.add_staff(session, "new", "孙悦", "agent", PASSWORD, now=desk.clock(), must_change=True)
    client = desk.client()
    await log_in(client, "new")
    client.headers["Origin"] = ORIGIN
    assert (await client.get("/queue")).headers["location"] == "/account"
    refused = await client.get("/api/v1/queue")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "password_change")
    page = await client.get("/account")
    assert "请先修改初始密码" in page.text
    data = {"form": client.cookies["hotline_desk_form"], "old": PASSWORD}
    for new, again, status in (
        ("Short 1", "Short 1", 422),
        ("Different-2026-a", "Different-2026-b", 422),
        (PASSWORD, PASSWORD, 422),
    ):
        response = await client.post("/account/password", data=data | {"new": new, "again": again})
        assert response.status_code == status
    wrong = {"old": "no", "new": "Song-Hua Jiang 9", "again": "Song-Hua Jiang 9"}
    assert "当前密码不对" in (await client.post("/account/password", data=data | wrong)).text
    done = {"new": "Song-Hua Jiang 9", "again": "Song-Hua Jiang 9"}
    assert "密码已修改" in (await client.post("/account/password", data=data | done)).text
    assert (await client.get("/nowhere")).status_code == 404  # through the guard


async def test_one_time_codes_can_be_demanded(make_desk):
    desk = make_desk(desk_totp="required")
    client = desk.client()
    await log_in(client)
    client.headers["Origin"] = ORIGIN
    assert (await client.get("/")).headers["location"] == "/account"
    assert (await client.get("/api/v1/queue")).json()["error"]["code"] == "totp_needed"
    page = (await client.get("/account")).text
    data = {
        "form": client.cookies["hotline_desk_form"],
        "secret": re.search(r'name="secret" value="([A-Z2-7]+)"', page)[1],
    }
    assert (await client.post("/account/totp", data=data | {"code": "000000"})).status_code == 422
    assert (
        await client.post("/account/totp", data=data | {"secret": "!", "code": "000000"})
    ).status_code == 422
    code = pyotp.TOTP(data["secret"]).at(int(desk.clock().timestamp()))
    assert "已启用" in (await client.post("/account/totp", data=data | {"code": code})).text
    assert (await client.get("/nowhere")).status_code == 404
    # Moving the codes to another phone is an administrator's matter.
    assert (await client.post("/account/totp", data=data | {"code": code})).status_code == 403
    fresh = desk.client()
    assert (await log_in(fresh)).status_code == 401
    assert (await log_in(fresh, code=code)).status_code == 401  # used by the enrolment
    desk.clock.advance(seconds=30)
    code = pyotp.TOTP(data["secret"]).at(int(desk.clock().timestamp()))
    assert (await log_in(fresh, code=code)).status_code == 303


async def test_headers_of_pages_refusals_and_errors(desk):
    for response in (
        await desk.client().get("/login"),
        await desk.client().get("/api/v1/me"),
        await desk.client(desk.agent).get("/nowhere"),
        await desk.client(desk.agent).get("/account"),
    ):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["referrer-policy"] == "same-origin"
        assert response.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert "script-src" not in (await desk.client().get("/login")).headers["content-security-policy"]


async def test_an_open_websocket_is_cut_when_the_log_in_ends(desk, monkeypatch):
    """The page stays open over a log-out in another tab; its line must not."""
    import asyncio

    monkeypatch.setattr("bot.desk.auth.RECHECK", 0.05)
    heard, sent = [], []

    async def page(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            heard.append(message["text"])

    guard = Guard(page, sessions=desk.sessions, readers=desk.readers, config=desk.config, now=desk.clock)
    with desk.sessions.begin() as session:
        token = accounts.open_session(session, desk.agent, now=desk.clock())
    events = asyncio.Queue()
    events.put_nowait({"type": "websocket.connect"})
    events.put_nowait({"type": "websocket.receive", "text": '42["event",{}]'})

    async def send(message):
        sent.append(message["type"])

    scope = {
        "type": "websocket", "path": "/ws", "headers": [
            (b"cookie", f"{COOKIE}={token}".encode()), (b"origin", b"http://desk.test"), (b"host", b"desk.test"),
        ],
    }  # fmt: skip
    running = asyncio.create_task(guard(scope, events.get, send))
    for _ in range(100):
        await asyncio.sleep(0.01)
        if heard:
            break
    with desk.sessions.begin() as session:
        accounts.log_out(session, token, now=desk.clock())
    await asyncio.wait_for(running, 20)
    assert (heard, sent) == (['42["event",{}]'], ["websocket.accept", "websocket.close"])


async def test_pings_do_not_keep_a_log_in_alive_but_clicks_do(desk):
    from bot.desk.auth import _by_hand

    assert not any(
        _by_hand({"text": text}) for text in ("3", "2", '42["ack",{"next_message_id":5}]', "40", None)
    )
    assert _by_hand({"text": '42["event",{"id":1}]'})


async def test_a_log_in_outlives_a_restart_and_its_end_does_too(desk):
    client = desk.client()
    await log_in(client)
    token = client.cookies[COOKIE]
    again = desk.client(app=desk.make_app(), Cookie=f"{COOKIE}={token}")
    assert (await again.get("/account")).status_code == 200
    await client.post("/logout", headers={"Origin": ORIGIN})
    again = desk.client(app=desk.make_app(), Cookie=f"{COOKIE}={token}")
    assert (await again.get("/account")).status_code == 303


async def test_whatever_is_added_to_the_application_stands_behind_the_guard(desk):
    """The pages bring middleware of their own: none of it may answer before the guard has looked."""
    assert desk.app.user_middleware[0].cls is Guard
