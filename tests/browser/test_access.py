"""For everybody: axe-core, keyboard, screen reader, large text, reduced motion (无障碍环境建设法 Art 32, 适老化)."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.test_cards import PRIVACY, RECEIPT, SUMMARY, intake
from tests.harness import policy, ready


def greeted(gateway, visit):
    pass


def answered(gateway, visit):
    gateway.hotline.engine.script["电梯维保"] = policy(9, facet="conditions")
    visit.say("电梯维保")
    visit.find(".policy summary").click()


def asked(gateway, visit):
    card = intake("collecting", missing=["您的要求"]) | {"privacy": PRIVACY}
    gateway.add("bot", "您希望怎么解决？", "complaint", card=card)
    visit.find(".progress summary").click()
    visit.find(".privacy summary").click()


def reviewed(gateway, visit):
    gateway.hotline.engine.script["登记"] = [
        ready(SUMMARY, "intake", choices=["确认提交", "改一处"], card=intake())
    ]
    visit.say("登记")
    visit.page.get_by_role("button", name="电话").click()


def lodged(gateway, visit):
    case = RECEIPT["cases"][0] | {"query_code": "482913"}
    gateway.add("bot", "已登记", "receipt", card={"receipt": RECEIPT | {"cases": [case]}})
    visit.find(".score").nth(2).click()


def endangered(gateway, visit):
    visit.say("商场电梯里关俩人")
    expect(visit.find(".calls")).to_be_visible()


def handed_over(gateway, visit):
    gateway.own("person", "王强")
    gateway.add("system", "王强已接入。")
    gateway.add("staff", "您好。", name="王强")
    expect(visit.find("article.staff")).to_be_visible()


def failed(gateway, visit):
    visit.refuse_once(503, "not_stored", "消息没有收下，请稍后重发。")
    visit.say("红旗街那个")
    expect(visit.failed).to_be_visible()


def opened_more(gateway, visit):
    visit.page.get_by_role("button", name="图片、文件和更多").click()
    visit.page.fill("#entry", "字" * 2003)


STATES = [greeted, answered, asked, reviewed, lodged, endangered, handed_over, failed, opened_more]


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_finds_nothing(gateway, visitor, state, size):
    visit = visitor(gateway.url, size)
    visit.open()
    state(gateway, visit)
    visit.page.wait_for_timeout(250)
    assert visit.violations() == []


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_large_text_fits_a_phone(gateway, visitor, state):
    visit = visitor(gateway.url, {"width": 320, "height": 640})
    visit.open()
    visit.page.get_by_role("button", name="大字").click()
    state(gateway, visit)
    visit.page.wait_for_timeout(150)
    wide = """root => [...root.querySelectorAll(".panel *")].filter(each => {
        const box = each.getBoundingClientRect();
        return box.width && box.right > innerWidth + 1 && getComputedStyle(each).position !== "absolute";
    }).map(each => each.className || each.tagName)"""
    assert visit.page.evaluate(f"({wide})(document.querySelector('hotline-chat').shadowRoot)") == []
    assert visit.violations() == []


def test_the_page_and_the_closed_chat_have_no_violation(gateway, visitor):
    visit = visitor(gateway.url, DESKTOP)
    visit.page.goto(gateway.url)
    expect(visit.find(".launcher")).to_be_visible()
    assert visit.violations() == []


def test_large_text_is_remembered(visit):
    before = visit.find(".Bubble").first.evaluate("each => parseFloat(getComputedStyle(each).fontSize)")
    button = visit.page.get_by_role("button", name="大字")
    button.click()
    visit.page.reload()
    expect(button).to_have_attribute("aria-pressed", "true")
    after = visit.find(".Bubble").first.evaluate("each => parseFloat(getComputedStyle(each).fontSize)")
    assert after >= before * 1.3


def test_lines_stand_apart(gateway, visit):
    answered(gateway, visit)
    ratios = visit.find(".Bubble p, .Bubble li, .Bubble blockquote").evaluate_all(
        "all => all.map(e => parseFloat(getComputedStyle(e).lineHeight) / parseFloat(getComputedStyle(e).fontSize))"
    )
    assert ratios and min(ratios) >= 1.3


def test_all_of_it_by_keyboard(gateway, visitor):
    visit = visitor(gateway.url, DESKTOP)
    visit.page.goto(gateway.url)
    page = visit.page
    focused = "() => document.querySelector('hotline-chat').shadowRoot.activeElement?.className"
    page.locator(".launcher").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#entry")).to_be_focused()
    expect(visit.bot).to_have_count(1)
    page.keyboard.type("第一行")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("第二行")
    page.keyboard.press("Enter")
    expect(visit.own).to_have_text(["第一行\n第二行"])
    expect(page.locator("#entry")).to_be_focused()
    seen = []
    for _ in range(14):
        page.keyboard.press("Shift+Tab")
        seen.append(page.evaluate(focused))
    assert {"round", "scroller"} <= set(seen) and any("bar-button" in (each or "") for each in seen)
    page.locator("#entry").focus()
    page.keyboard.press("Escape")
    expect(visit.find(".panel")).to_have_count(0)
    expect(page.locator(".launcher")).to_be_focused()


def test_an_enter_that_chooses_a_word_does_not_send(visit):
    visit.page.fill("#entry", "拼音")
    press = """keys => document.querySelector('hotline-chat').shadowRoot.getElementById('entry')
        .dispatchEvent(new KeyboardEvent('keydown', keys))"""
    for composing in ({"isComposing": True}, {"keyCode": 229}):
        visit.page.evaluate(press, {"key": "Enter", "bubbles": True, "cancelable": True} | composing)
    expect(visit.own).to_have_count(0)
    visit.page.press("#entry", "Enter")
    expect(visit.own).to_have_text(["拼音"])


def test_on_a_phone_the_focus_stays_inside(visit):
    inside = "() => document.activeElement?.tagName"
    for key in ("Tab", "Shift+Tab"):
        for _ in range(25):
            visit.page.keyboard.press(key)
            assert visit.page.evaluate(inside) == "HOTLINE-CHAT"


def test_new_messages_are_announced_and_old_ones_are_not(gateway, visit):
    log = visit.find("[role=log]")
    expect(log).to_have_attribute("aria-live", "polite")
    expect(log).to_have_attribute("aria-busy", "false")
    assert visit.find("[role=alert]").count() == 0
    visit.page.evaluate(
        """() => { window.added = [];
        const log = document.querySelector("hotline-chat").shadowRoot.querySelector("[role=log]");
        new MutationObserver(all => all.forEach(m => m.addedNodes.forEach(n => n.tagName === "ARTICLE" && added.push(n.textContent))))
            .observe(log, {childList: true}); }"""
    )
    visit.say("你好")
    expect(visit.bot).to_have_count(2)
    added = visit.page.evaluate("added")
    # One's own line, whose element stays when it is confirmed, and the answer.
    assert len(added) == 2 and "收到：你好" in added[1]


def test_reduced_motion(gateway, visitor):
    visit = visitor(gateway.url, reduced_motion="reduce")
    visit.open()
    moving = visit.find(".panel").evaluate("each => getComputedStyle(each).animationName")
    assert moving == "none"


def test_the_counter_counts_as_the_server_and_stops_at_2000(visit):
    visit.page.fill("#entry", "𠮷" * 2000)
    expect(visit.find("#counter")).to_have_text("2000/2000")
    expect(visit.page.get_by_role("button", name="发送")).to_be_enabled()
    visit.page.fill("#entry", "𠮷" * 2003)
    expect(visit.find("#counter")).to_have_text("超出3字")
    expect(visit.page.get_by_role("button", name="发送")).to_be_disabled()
    visit.page.press("#entry", "Enter")
    expect(visit.own).to_have_count(0)


def test_a_long_answer_is_shown_from_its_question(gateway, visit):
    gateway.hotline.engine.script["长"] = [ready("\n".join(f"第{n}行" for n in range(80)))]
    visit.say("长")
    expect(visit.bot).to_have_count(2)
    expect(visit.own.last).to_be_in_viewport()
    visit.page.get_by_role("button", name="看下面").click()
    expect(visit.page.get_by_role("button", name="看下面")).to_have_count(0)
    expect(visit.own.last).not_to_be_in_viewport()
