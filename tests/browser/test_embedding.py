"""The widget on somebody else's page: one script tag, nothing leaks in or out, nothing is fetched elsewhere."""

from __future__ import annotations

import gzip
import http.server
import re
import threading
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect

from bot.channels.headers import CSP
from bot.widget_build import MAX_GZIPPED
from tests.browser.conftest import DESKTOP, PHONE, Gateway

# A page that does what pages do: its own reset, a tiny root size, styles on every element, a strict CSP.
HOST_CSS = "html{font-size:62.5%} *{color:red!important;font-family:monospace;letter-spacing:.3em;line-height:1} button,article,p{display:none;text-transform:uppercase;border:9px solid blue!important}"


@pytest.fixture
def site() -> Iterator[dict[str, str]]:
    """Another origin; `html` is what it serves, `csp` its policy."""
    page = {"html": "", "csp": ""}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page["html"].encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            if page["csp"]:
                self.send_header("Content-Security-Policy", page["csp"])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page["url"] = f"http://127.0.0.1:{server.server_port}"
    yield page
    server.shutdown()


@pytest.fixture
def abroad(make_hotline, site) -> Iterator[Gateway]:
    """A gateway that lets the other origin embed the chat."""
    made = Gateway(make_hotline(allowed_origins=site["url"]))
    made.start()
    yield made
    made.stop()


def embed(site, gateway, attributes="", body="", style=""):
    script = f'<script src="{gateway.url}/widget.js" data-hotline {attributes}></script>'
    site["html"] = (
        f"<!doctype html><html lang=zh><meta charset=utf-8><title>别人的网页</title>{style}"
        f"<body><main><h1>别人的网页</h1>{body}</main>{script}</body></html>"
    )


def test_it_works_on_another_origin_under_a_strict_policy(site, abroad, visitor):
    site["csp"] = f"default-src 'none'; script-src {abroad.url}; connect-src {abroad.url}; style-src 'none'"
    embed(site, abroad)
    visit = visitor(site["url"])
    visit.open()
    visit.say("你好")
    expect(visit.bot.last).to_contain_text("收到：你好")
    # The shadow root is dressed although the page allows no style at all.
    assert (
        visit.find(".Bubble").first.evaluate("e => getComputedStyle(e).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    visit.page.reload()
    expect(visit.own).to_have_text(["你好"])
    assert visit.errors == []


def test_an_origin_that_is_not_listed_gets_no_conversation(site, gateway, visitor):
    embed(site, gateway)
    visit = visitor(site["url"])
    visit.expected = (*visit.expected, "blocked by CORS policy")
    visit.page.goto(site["url"])
    visit.page.get_by_role("button", name="在线咨询").click()
    expect(visit.find(".banner")).to_contain_text("暂时连不上")
    expect(visit.bot).to_have_count(0)


def look(visit):
    """How the widget looks, by the computed style of everything in it."""
    return visit.find(".panel *").evaluate_all(
        """all => all.filter(e => e.closest("svg") === null || e.tagName === "svg").map(e => { const s = getComputedStyle(e), b = e.getBoundingClientRect();
        return [e.className, s.color, s.fontFamily, s.fontSize, s.lineHeight, s.letterSpacing, s.display, s.borderTopWidth,
                s.textTransform, Math.round(b.width), Math.round(b.height)].join(); })"""
    )


def test_styles_of_the_page_do_not_leak_in(site, abroad, visitor):
    looks = []
    for style in ("", f"<style>{HOST_CSS}</style>"):
        embed(site, abroad, style=style)
        visit = visitor(site["url"], DESKTOP)
        visit.page.goto(site["url"])
        visit.find(".launcher").click()
        expect(visit.bot).to_have_count(1)
        visit.page.wait_for_timeout(300)
        looks.append(look(visit))
    assert len(looks[0]) > 20
    assert looks[0] == looks[1]


def test_nothing_leaks_out(site, abroad, visitor):
    embed(site, abroad, body="<p id=own>自己的话</p>")
    visit = visitor(site["url"], DESKTOP)
    visit.page.goto(site["url"])
    style = "() => JSON.stringify([...Object.entries(getComputedStyle(own)), ...Object.entries(getComputedStyle(document.body))])"
    before = visit.page.evaluate(style)
    globals_before = visit.page.evaluate("Object.keys(window).sort()")
    visit.open("")
    assert visit.page.evaluate(style) == before
    assert visit.page.evaluate("Object.keys(window).sort()") == globals_before
    assert (
        visit.page.evaluate(
            "document.documentElement.className + JSON.stringify(document.documentElement.dataset)"
        )
        == "{}"
    )


def test_title_colour_and_position_are_the_page_s(site, abroad, visitor):
    embed(
        site, abroad, 'data-title="某市场监管局在线咨询（机器人）" data-color="#ffcc00" data-position="left"'
    )
    visit = visitor(site["url"], DESKTOP)
    visit.open()
    expect(visit.find("h2")).to_contain_text("某市场监管局在线咨询")
    assert visit.find(".panel").bounding_box()["x"] == 24
    # Yellow under white words is not legible: it is darkened until it is.
    assert visit.violations() == []


@pytest.mark.parametrize("color", ["#07c160", "#fff", "rgb(1,2,3)", "red; } * { display: none", "#000000"])
def test_any_colour_stays_legible(site, abroad, visitor, color):
    embed(site, abroad, f'data-color="{color}"')
    visit = visitor(site["url"])
    visit.open()
    assert visit.violations() == []


def test_a_part_of_the_page_opens_the_chat_and_asks(site, abroad, visitor):
    embed(
        site,
        abroad,
        body='<a href="/elsewhere" data-hotline-open="电梯维保能延长吗">问问</a><i data-hotline-open>聊聊</i>',
    )
    visit = visitor(site["url"], DESKTOP)
    visit.page.goto(site["url"])
    visit.page.get_by_text("聊聊").click()
    expect(visit.bot).to_have_count(1)
    expect(visit.own).to_have_count(0)
    visit.page.get_by_text("问问").click()
    expect(visit.own).to_have_text(["电梯维保能延长吗"])
    assert visit.page.url == site["url"] + "/"


def test_embedded_twice_it_is_there_once(site, abroad, visitor):
    embed(site, abroad, body=f'<script src="{abroad.url}/widget.js" data-hotline></script>')
    visit = visitor(site["url"])
    visit.page.goto(site["url"])
    expect(visit.find(".launcher")).to_have_count(1)


def test_it_opens_at_once_where_the_page_says_so(site, abroad, visitor):
    embed(site, abroad, "data-open")
    visit = visitor(site["url"])
    visit.page.goto(site["url"])
    expect(visit.bot).to_have_count(1)


def test_in_the_head_and_deferred(site, abroad, visitor):
    for how in ("", "defer", "async"):
        site["html"] = (
            f'<!doctype html><html lang=zh><head><title>x</title><script {how} src="{abroad.url}/widget.js" data-hotline></script></head><body><p>自己的话</p></body></html>'
        )
        visit = visitor(site["url"])
        visit.page.goto(site["url"])
        expect(visit.find(".launcher")).to_be_visible()


def test_a_phone_shows_it_full_screen_and_a_desktop_as_a_panel(gateway, visitor):
    # Without motion: while the panel slides in, each look finds it elsewhere.
    phone = visitor(gateway.url, PHONE, reduced_motion="reduce")
    phone.open()
    assert phone.find(".panel").bounding_box() == pytest.approx({"x": 0, "y": 0, **PHONE}, abs=1)
    desktop = visitor(gateway.url, DESKTOP, reduced_motion="reduce")
    desktop.open()
    box = desktop.find(".panel").bounding_box()
    assert (box["width"], box["x"] + box["width"]) == pytest.approx((420, 1280 - 24), abs=1)
    assert box["y"] >= 23 and box["y"] + box["height"] == pytest.approx(800 - 24, abs=1)


def test_without_storage_it_works_until_it_is_closed(gateway, visitor):
    visit = visitor(gateway.url)
    visit.page.add_init_script(
        "for (const area of ['localStorage', 'sessionStorage']) Object.defineProperty(window, area, {get() { throw new Error('forbidden'); }})"
    )
    visit.open()
    visit.say("你好")
    expect(visit.bot).to_have_count(2)


def test_a_browser_without_constructed_style_sheets_is_dressed_too(site, abroad, visitor):
    embed(site, abroad)
    visit = visitor(site["url"])
    visit.page.add_init_script("delete CSSStyleSheet.prototype.replaceSync")
    visit.open()
    assert (
        visit.find(".Bubble").first.evaluate("e => getComputedStyle(e).backgroundColor")
        == "rgb(255, 255, 255)"
    )


def test_the_budget(widget):
    script = widget.read_bytes()
    packed = (widget.parent / "widget.js.gz").read_bytes()
    assert gzip.decompress(packed) == script
    assert len(packed) <= MAX_GZIPPED
    # No address in it but those of XML namespaces.
    assert set(re.findall(rb"https?://[^/\"'` ]+", script)) <= {b"http://www.w3.org"}


def test_the_script_is_served_packed_and_plain(gateway, widget):
    for accepted, encoded in (("gzip", "gzip"), ("identity", None)):
        response = httpx.get(
            f"{gateway.url}/widget.js", headers={"Accept-Encoding": accepted}, trust_env=False
        )
        assert response.headers.get("content-encoding") == encoded
        assert response.content == widget.read_bytes()
        assert response.headers["content-type"].startswith("text/javascript")
        assert response.headers["vary"] == "Accept-Encoding"


def test_the_gateway_s_own_policy_allows_no_inline_style():
    assert "unsafe-inline" not in CSP
    assert "script-src 'self'" in CSP
