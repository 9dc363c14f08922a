"""Security headers on every answer of gateway and desk, whoever gives it: routes, files, refusals, crashes."""

import httpx
import pytest
from sqlalchemy import text

from bot.channels.headers import CSP, EVERYWHERE
from bot.channels.origins import allowed
from bot.desk.headers import PAGES, PLAIN
from bot.staff import accounts

JSON = {"Content-Type": "application/json"}


def fenced(response, csp):
    assert response.headers["content-security-policy"] == csp
    for name, value in EVERYWHERE.items():
        wanted = (
            "cross-origin"
            if response.url.path == "/widget.js" and name.endswith("Resource-Policy")
            else value
        )
        assert response.headers[name] == wanted, (response.url, name)
    assert "server" not in response.headers
    assert "x-powered-by" not in response.headers
    assert "set-cookie" not in response.headers or "HttpOnly" in response.headers["set-cookie"]
    assert "strict-transport-security" not in response.headers


async def answers(hotline):
    """(what, response) for each kind of answer of the gateway."""
    http = hotline.http
    talk = await hotline.open()
    messages = f"{talk.path}/messages"
    yield "page", await http.get("/")
    yield "style", await http.get("/static/notice.css")
    yield "widget", await http.get("/widget.js")
    yield "health", await http.get("/healthz")
    yield "metrics", await http.get("/metrics")
    yield "openapi", await http.get("/openapi.json")
    yield "log", await http.get(messages, headers=talk.headers)
    yield "answer", await talk.send("你好")
    yield "401", await http.get(messages)
    yield "404 route", await http.get("/nothing")
    yield "404 file", await http.get("/static/nothing")
    yield "405", await http.delete(messages)
    yield "413 declared", await http.post(messages, content=b"x" * 70_000, headers=talk.headers)
    yield "413 undeclared", await http.post(messages, content=pieces(), headers=talk.headers)
    yield "422", await http.post(messages, content=b"{", headers=talk.headers | JSON)
    yield "deep", await http.post(messages, content=b"[" * 60_000, headers=talk.headers | JSON)
    yield "head", await http.head("/")
    yield "redirect", await http.get("/static")
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    yield "preflight", await http.options(messages, headers=asked)
    yield (
        "preflight of a stranger",
        await http.options(messages, headers=asked | {"origin": "https://b.example"}),
    )


async def pieces():
    for _ in range(8):
        yield b"x" * 10_000


async def test_every_answer_of_the_gateway(make_hotline):
    hotline = make_hotline(allowed_origins="https://a.example")
    seen = set()
    async for what, response in answers(hotline):
        fenced(response, CSP)
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "cache-control" in response.headers, what
        seen.add(response.status_code)
    assert {200, 400, 401, 404, 405, 413, 422} <= seen


async def test_a_crash_a_locked_database_and_a_limit(make_hotline, monkeypatch):
    hotline = make_hotline(rate_limits="on", conversations_per_minute=1, busy_timeout=0.1)
    talk = await hotline.open()
    limited = await hotline.http.post("/api/v1/conversations", json={"channel": "widget"})
    with hotline.sessions.begin() as session:
        session.execute(text("SELECT 1"))
        locked = await talk.send("你好")
    monkeypatch.setattr("bot.conversations.log.after", lambda *_: 1 / 0)
    crashed = await hotline.http.get(f"{talk.path}/messages", headers=talk.headers)
    assert (limited.status_code, locked.status_code, crashed.status_code) == (429, 503, 500)
    for response in (limited, locked, crashed):
        fenced(response, CSP)
        assert response.headers["cache-control"] == "no-store"
    assert "ZeroDivision" not in crashed.text and ".py" not in crashed.text


async def test_over_https_browsers_are_told_to_stay_there(hotline, desk):
    for app, path in ((hotline.app, "/healthz"), (desk.app, "/login")):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://a.test") as http:
            assert (await http.get(path)).headers["strict-transport-security"] == "max-age=31536000"


async def test_every_answer_of_the_desk(desk):
    stranger, agent = desk.client(), desk.client(desk.agent)

    @desk.app.get("/api/v1/crash")
    async def crash():
        raise RuntimeError("电话13904321187")

    found = [
        (await stranger.get("/login"), 200, PLAIN),
        (await stranger.get("/login.css"), 200, PLAIN),
        (await stranger.get("/healthz"), 200, PAGES),
        (await stranger.get("/"), 303, PAGES),
        (await stranger.get("/api/v1/cases"), 401, PLAIN),
        (await stranger.post("/login", data={"username": "a", "password": "b"}), 403, PLAIN),
        (await stranger.post("/login", content=b"[" * 15_000, headers=JSON), 422, PLAIN),
        (await agent.get("/account"), 200, PLAIN),
        (await agent.get("/api/v1/cases"), 200, PLAIN),
        (await agent.get("/api/v1/nothing"), 404, PLAIN),
        (await agent.get("/nothing"), 404, PAGES),
        (await agent.put("/api/v1/cases"), 405, PLAIN),
        (await agent.get("/api/v1/staff"), 403, PLAIN),
        (await agent.post("/api/v1/copilot/suggest", content=b"x" * 1_100_000), 413, PLAIN),
        (await agent.post("/api/v1/copilot/suggest", content=b"[" * 60_000, headers=JSON), 422, PLAIN),
        (await agent.get("/api/v1/crash"), 500, PLAIN),
    ]
    for response, status, csp in found:
        assert response.status_code == status, (response.url, response.status_code, response.text)
        fenced(response, csp)
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "same-origin"
    assert "13904321187" not in found[-1][0].text


async def test_cookies_are_for_this_server_alone(make_desk):
    desk = make_desk()
    for url, secure in (("http://desk.test", False), ("https://desk.test", True)):
        transport = httpx.ASGITransport(desk.app)
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            page = await client.get("/login")
            form = page.text.split('name="form" value="')[1].split('"')[0]
            data = {"username": "agent", "password": "Mei-Hua 2026 xue", "form": form}
            entered = await client.post("/login", data=data, headers={"Origin": url})
        cookies = page.headers.get_list("set-cookie") + entered.headers.get_list("set-cookie")
        assert len(cookies) == 2 and entered.status_code == 303
        for cookie in cookies:
            flags = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert {"httponly", "samesite=strict", "path=/"} <= flags
            assert ("secure" in flags) == secure
            assert not any(flag.startswith("domain") for flag in flags)


async def test_the_gateway_sets_no_cookie_and_reads_none(hotline):
    talk = await hotline.open()
    answer = await hotline.http.get(f"{talk.path}/messages", headers={"Cookie": f"token={talk.token}"})
    assert answer.status_code == 401
    assert not hotline.http.cookies


async def test_nothing_changes_by_a_cookie_from_another_site(desk):
    """CSRF: every route of the desk that changes something, found by walking, with the cookie of an administrator."""
    from tests.desk.test_doors import concrete, paths

    with desk.sessions.begin() as session:
        token = accounts.open_session(session, desk.admin, now=desk.clock())
    client = desk.client(Cookie=f"hotline_desk={token}")
    tried = 0
    for path in sorted({concrete(path) for path, _ in paths(desk.app.routes)} - {"/login"}):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            for headers in (
                {},
                {"Origin": "https://evil.test"},
                {"Origin": "null"},
                {"Sec-Fetch-Site": "cross-site"},
            ):
                response = await client.request(method, path, headers=headers, json={})
                if path in ("/healthz", "/login.css"):
                    assert response.status_code == 405
                    continue
                assert response.status_code == 403, (method, path, headers)
                assert response.json()["error"]["code"] == "cross_site"
                tried += 1
    assert tried > 500


def test_origins_are_a_list_of_exact_names():
    assert allowed(" https://a.example ,http://localhost:5173,https://b.example:8443 ") == [
        "https://a.example", "http://localhost:5173", "https://b.example:8443",
    ]  # fmt: skip
    assert allowed("") == []


@pytest.mark.parametrize(
    "setting",
    ["*", "null", "https://*.example", "http://a.example", "https://a.example/", "https://a.example/x", "a.example",
     "https://a.example, *", "https://A.example", "https://a.example\n", "https://u:p@a.example"],
)  # fmt: skip
def test_what_is_no_origin_stops_the_start(make_hotline, setting):
    if setting.endswith("\n"):
        assert allowed(setting) == ["https://a.example"]
        return
    with pytest.raises(ValueError, match="HOTLINE_ALLOWED_ORIGINS"):
        make_hotline(allowed_origins=setting)


async def test_pages_of_other_sites_learn_nothing(make_hotline):
    hotline = make_hotline(allowed_origins="https://a.example")
    for origin, told in (
        ("https://a.example", True), ("https://a.example.evil", False), ("https://xa.example", False),
        ("http://a.example", False), ("https://a.example:8443", False), ("null", False),
    ):  # fmt: skip
        response = await hotline.http.post(
            "/api/v1/conversations", json={"channel": "widget"}, headers={"Origin": origin}
        )
        assert ("access-control-allow-origin" in response.headers) == told, origin
        assert "access-control-allow-credentials" not in response.headers
