"""What the bot says in parts: measures, intake, receipt, emergency; and who has the conversation."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from bot.conversations.models import Feedback, HandOver, Rating
from bot.policy import load
from tests.harness import policy, ready

KNOWN = [
    {"field": "respondent", "label": "被投诉方", "value": "鑫隆旺超市", "filled": True},
    {"field": "phone", "label": "电话", "value": "139****1187", "filled": True},
    {"field": "address", "label": "您的通讯地址", "value": "未填", "filled": False},
]
SUMMARY = "记下了。\n请核对下面的内容：\n【投诉】\n1. 被投诉方：鑫隆旺超市\n2. 电话：139****1187\n3. 您的通讯地址：未填\n都对的话，请点“确认提交”。"
PRIVACY = "【隐私告知】\n一、谁在收集：吉林12315。\n二、为什么：为办理。"
RECEIPT = {
    "numbers": ["JL-T-261122-00017-4"],
    "sms_code": "261122000174",
    "deadlines": [],
    "cases": [
        {
            "number": "JL-T-261122-00017-4",
            "type": "投诉",
            "sms_code": "261122000174",
            "registered_at": "11月22日 15:04",
            "meaning": "已登记表示我们收到了，不表示已受理。",
            "deadlines": ["最晚12月1日告知是否受理。"],
            "query_code": None,
        }
    ],
}


def intake(step="review", **more):
    card = {"type": "complaint", "name": "投诉", "step": step, "asked": step, "known": KNOWN, "missing": []}
    return {"intake": card | more}


def rows(gateway, table):
    with gateway.hotline.readers() as session:
        return list(session.scalars(select(table)))


def test_a_measure_is_a_card_with_its_clause_folded(gateway, visit):
    gateway.hotline.engine.script["电梯维保"] = policy(9, facet="conditions")
    visit.say("电梯维保")
    measure = load().measure(9)
    card = visit.find(".policy")
    expect(card.locator(".badge")).to_have_text("第九条")
    expect(card.locator(".measure-title")).to_have_text(measure.short)
    expect(card.locator(".conditions li")).to_have_count(len(measure.facets["conditions"].conditions))
    clause = card.locator("blockquote")
    expect(clause).to_be_hidden()
    card.get_by_text("第九条原文").click()
    expect(clause).to_be_visible()
    assert measure.text in clause.inner_text()
    assert load().notice.number in clause.inner_text()
    expect(visit.bot.last.locator(".validity")).to_contain_text(load().notice.validity.sentences["unknown"])


def test_every_word_of_every_measure_is_on_the_page(gateway, visit):
    pack = load()
    for number in pack.measures:
        gateway.hotline.engine.script[f"第{number}条"] = policy(number)
        visit.say(f"第{number}条")
        expect(visit.bot).to_have_count(number + 1)
        [text] = [m for m in gateway.texts("bot") if pack.measure(number).text in m]
        shown = visit.bot.last.locator(".Bubble").evaluate("each => each.textContent")
        squeezed = "".join(shown.split())
        for line in text.split("\n"):
            # The list has its numbers, the fold its name, from the page.
            bare = line.split("原文：", 1)[-1]
            if re.match(r"\d+\. ", bare):
                bare = bare.split(". ", 1)[-1].rstrip("；。")
            assert "".join(bare.split()) in squeezed, (number, line)


def test_two_measures_are_two_cards(gateway, visit):
    gateway.hotline.engine.script["两条"] = policy(9, 2)
    visit.say("两条")
    expect(visit.find(".badge")).to_have_text(["第九条", "第二条"])


def test_what_the_notice_leaves_open_is_marked(gateway, visit):
    gateway.hotline.engine.script["收费吗"] = policy(13, facet="cost", specified=False)
    visit.say("收费吗")
    expect(visit.find(".policy mark")).to_have_text("通知没有写明")


SECTION = {"measure": 9, "title": "电梯维保", "say": "可以商量延长：", "conditions": [], "note": "", "clause": "原文一句。",
           "specified": True}  # fmt: skip


def test_a_card_that_its_text_does_not_hold_is_shown_as_text(gateway, visit):
    gateway.add("bot", "只有这一句。", "policy", card={"sections": [SECTION]})
    expect(visit.bot.last.locator(".Bubble")).to_have_text("只有这一句。")


def test_words_around_a_card_are_kept(gateway, visit):
    text = "I answer in Chinese.\n可以商量延长：\n第九条原文：「原文一句。」——文号\n※到期了。"
    gateway.add("bot", text, "policy", card={"sections": [SECTION]})
    bubble = visit.bot.last.locator(".Bubble")
    expect(bubble.locator("> p")).to_have_text(["I answer in Chinese.", "※到期了。"])
    expect(bubble.locator(".say")).to_have_text("可以商量延长：")


def test_the_first_question_of_an_intake_has_the_privacy_notice_and_what_is_known(gateway, visit):
    card = intake("collecting", asked="request", missing=["您的要求", "姓名"]) | {"privacy": PRIVACY}
    gateway.add("bot", "您希望怎么解决？", "complaint", card=card)
    expect(visit.find(".privacy-text")).to_be_hidden()
    visit.find(".privacy summary").click()
    expect(visit.find(".privacy-text")).to_contain_text("谁在收集")
    expect(visit.find(".progress summary")).to_contain_text("已记下2项，还差2项")
    visit.find(".progress summary").click()
    expect(visit.find(".progress .field-value")).to_have_text(["鑫隆旺超市", "139****1187"])
    expect(visit.find(".progress")).to_contain_text("还差：您的要求、姓名")
    visit.say("退钱")
    expect(visit.find(".progress")).to_have_count(0)
    expect(visit.find(".privacy")).to_have_count(1)


def test_a_line_of_the_summary_is_changed_by_tapping_it(gateway, visit):
    card, choices = intake(), ["确认提交", "改一处", "不提交了"]
    gateway.hotline.engine.script["登记"] = [ready(SUMMARY, "intake", choices=choices, card=card)]
    visit.say("登记")
    bubble = visit.bot.last.locator(".Bubble")
    expect(bubble.locator("> p")).to_have_text(
        ["记下了。", "请核对下面的内容：", "都对的话，请点“确认提交”。"]
    )
    expect(visit.find(".review .field-value")).to_have_text(["鑫隆旺超市", "139****1187", "未填"])
    expect(visit.choices).to_have_text(["改一处", "不提交了"])
    visit.page.get_by_role("button", name="电话 139****1187 改").click()
    box = visit.find(".editing input")
    expect(box).to_be_focused()
    expect(visit.find(".editing").get_by_role("button", name="改好了")).to_be_disabled()
    box.fill("13904321188")
    box.press("Enter")
    expect(visit.own.last).to_have_text("电话改为13904321188")
    expect(visit.bot.last).to_contain_text("收到：电话改为13904321188")
    # The card of an earlier turn is void.
    expect(visit.find(".review button")).to_have_count(0)


def test_a_change_can_be_dropped(gateway, visit):
    gateway.hotline.engine.script["登记"] = [ready(SUMMARY, "intake", choices=["确认提交"], card=intake())]
    visit.say("登记")
    visit.page.get_by_role("button", name="电话").click()
    visit.find(".editing input").press("Escape")
    expect(visit.find(".editing")).to_have_count(0)
    expect(visit.find(".panel")).to_be_visible()
    visit.page.get_by_role("button", name="电话").click()
    visit.page.get_by_role("button", name="不改").click()
    expect(visit.find(".editing")).to_have_count(0)
    assert gateway.texts("user") == ["登记"]


def test_the_summary_is_confirmed_with_its_button(gateway, visit):
    gateway.hotline.engine.script["登记"] = [ready(SUMMARY, "intake", choices=["确认提交"], card=intake())]
    visit.say("登记")
    visit.page.get_by_role("button", name="确认提交").click()
    expect(visit.own).to_have_text(["登记", "确认提交"])


def test_a_summary_that_its_text_does_not_hold_is_shown_twice_rather_than_lost(gateway, visit):
    gateway.add("bot", "请核对：另一种写法", "intake", card=intake())
    expect(visit.bot.last).to_contain_text("请核对：另一种写法")
    expect(visit.find(".review .field-value")).to_have_count(3)


def test_a_receipt_can_be_copied_and_asked_for(gateway, visit):
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=gateway.url)
    gateway.add("bot", "投诉已登记。……", "receipt", card={"receipt": RECEIPT})
    slip = visit.find(".receipt")
    expect(slip.locator("strong")).to_have_text("JL-T-261122-00017-4")
    for words in ("11月22日 15:04", "2611220001 74", "不表示已受理", "最晚12月1日", "凭编号和登记的手机号"):
        expect(slip).to_contain_text(words)
    slip.get_by_role("button", name="复制编号").click()
    expect(slip.get_by_role("button", name="已复制")).to_be_visible()
    assert visit.page.evaluate("navigator.clipboard.readText()") == "JL-T-261122-00017-4"
    slip.get_by_role("button", name="查这件的进度").click()
    expect(visit.own.last).to_have_text("查进度 JL-T-261122-00017-4")


def test_a_receipt_can_be_copied_without_a_clipboard(gateway, visit):
    visit.page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    visit.page.evaluate(
        "document.addEventListener('copy', e => { window.copied = getSelection().toString(); })"
    )
    gateway.add("bot", "投诉已登记。……", "receipt", card={"receipt": RECEIPT})
    visit.find(".receipt").get_by_role("button", name="复制编号").click()
    expect(visit.find(".receipt").get_by_role("button", name="已复制")).to_be_visible()


def test_an_anonymous_receipt_shows_its_query_code(gateway, visit):
    case = RECEIPT["cases"][0] | {"query_code": "482913"}
    gateway.add("bot", "举报已登记。……", "receipt", card={"receipt": RECEIPT | {"cases": [case]}})
    expect(visit.find(".secret")).to_contain_text("482913")
    expect(visit.find(".secret")).to_contain_text("只显示这一次")
    expect(visit.find(".receipt")).to_contain_text("凭编号和查询口令")


def test_a_receipt_without_its_parts_is_text(gateway, visit):
    gateway.add("bot", "投诉已登记。编号 JL-T-1。", "receipt", card={"receipt": {"numbers": ["JL-T-1"]}})
    expect(visit.bot.last.locator(".Bubble")).to_have_text("投诉已登记。编号 JL-T-1。")


def test_an_emergency_has_its_calls_before_the_question(gateway, visit):
    visit.say("商场电梯里关俩人")
    bubble = visit.bot.last.locator(".is-emergency")
    links = bubble.locator("a")
    expect(links).to_have_text(["拨打119", "拨打110"])
    expect(links.first).to_have_attribute("href", "tel:119")
    assert bubble.locator("> p").evaluate_all("all => all.map(p => p.className)")[:2] == ["danger", "calls"]
    assert links.first.bounding_box()["height"] >= 48


def test_text_of_the_server_is_never_markup(gateway, visit):
    evil = "<img src=x onerror=alert(1)><b>粗</b>"
    case = RECEIPT["cases"][0] | {"number": evil, "meaning": evil}
    known = [{"field": "x", "label": evil, "value": evil, "filled": True}]
    gateway.add("bot", evil, "fallback", choices=())
    gateway.add("bot", evil, "receipt", card={"receipt": {"numbers": [evil], "cases": [case]}})
    gateway.add("bot", evil, "intake", card=intake(known=known) | {"privacy": evil})
    gateway.add(
        "bot",
        f"{evil}说\n{evil}",
        "policy",
        card={"sections": [SECTION | {"say": evil, "clause": evil, "title": evil}]},
    )
    gateway.add("staff", evil, name=evil)
    gateway.add("system", evil)
    visit.say(evil)
    expect(visit.bot).to_have_count(6)
    assert (
        visit.page.evaluate(
            "document.querySelector('hotline-chat').shadowRoot.querySelectorAll('img, b').length"
        )
        == 0
    )


def test_the_queue_and_the_person_are_shown(gateway, visit):
    visit.say("你好")
    expect(visit.bot).to_have_count(2)
    with gateway.hotline.sessions.begin() as session:
        for number, conversation in enumerate(gateway.conversations()):
            now = gateway.hotline.clock.now
            session.add(
                HandOver(id=str(number), conversation_id=conversation, reason="要求人工", created_at=now)
            )
    gateway.add("bot", "好的，已为您排队。", "handoff")
    expect(visit.find(".banner")).to_contain_text("下一位就是您")
    with gateway.hotline.sessions.begin() as session:
        session.get_one(HandOver, "0").state = "claimed"
    gateway.own("person", "王强")
    gateway.add("system", "王强已接入。")
    expect(visit.find(".status")).to_have_text("王强 正在为您服务")
    expect(visit.find(".banner")).to_have_count(0)
    gateway.add("staff", "您好，我看到您的情况了。", name="王强")
    expect(visit.find("article.staff .author")).to_have_text("王强 · 值班人员")
    gateway.own("bot")
    gateway.add("system", "本次人工服务已结束。", card={"rating": True})
    expect(visit.find(".status")).to_contain_text("机器人自动回复")
    expect(visit.find(".rating")).to_be_visible()


def test_the_owner_is_known_again_after_a_break(gateway, visit):
    gateway.own("person", "王强")
    gateway.add("system", "王强已接入。")
    expect(visit.find(".status")).to_have_text("王强 正在为您服务")
    gateway.stop()
    gateway.own("bot")
    gateway.restart()
    expect(visit.find(".status")).to_contain_text("机器人自动回复", timeout=15_000)


def test_one_key_calls_a_person(gateway, visit):
    visit.page.get_by_role("button", name="人工", exact=True).click()
    expect(visit.own.last).to_have_text("转人工")
    expect(visit.bot).to_have_count(2)
    assert gateway.texts("user") == ["转人工"]


def test_satisfaction_is_asked_after_a_receipt_once(gateway, visit):
    gateway.add("bot", "投诉已登记。……", "receipt", card={"receipt": RECEIPT})
    expect(visit.find(".rating")).to_contain_text("这次服务您满意吗")
    visit.find(".score").nth(3).click()
    visit.find(".comment textarea").fill("挺快")
    visit.page.get_by_role("button", name="提交评价").click()
    expect(visit.find(".rating-thanks")).to_be_visible()
    [row] = rows(gateway, Rating)
    assert (row.score, row.comment) == (4, "挺快")
    visit.page.reload()
    expect(visit.find(".receipt")).to_be_visible()
    expect(visit.find(".rating")).to_have_count(0)


def test_a_rating_that_is_not_sent_says_so_and_can_be_sent_again(gateway, visit):
    gateway.add("bot", "投诉已登记。……", "receipt", card={"receipt": RECEIPT})
    visit.page.route("**/rating", lambda route: route.abort())
    visit.find(".score").first.click()
    visit.page.get_by_role("button", name="提交评价").click()
    expect(visit.find(".rating")).to_contain_text("没有送出")
    visit.page.unroute("**/rating")
    visit.page.get_by_role("button", name="提交评价").click()
    expect(visit.find(".rating-thanks")).to_be_visible()
    assert [row.score for row in rows(gateway, Rating)] == [1]


def test_a_citizen_may_rate_at_any_time_and_may_decline(gateway, visit):
    visit.page.get_by_role("button", name="图片、文件和更多").click()
    visit.page.get_by_role("button", name="评价服务").click()
    visit.find(".score").first.click()
    visit.page.get_by_role("button", name="不评了").click()
    expect(visit.find(".rating")).to_have_count(0)
    assert rows(gateway, Rating) == []


@pytest.mark.parametrize(("label", "helpful"), [("有帮助", True), ("没帮助", False)])
def test_thumbs_are_stored_and_remembered(gateway, visit, label, helpful):
    gateway.hotline.engine.script["电梯维保"] = policy(9)
    visit.say("电梯维保")
    with visit.page.expect_response("**/feedback"):
        visit.page.get_by_role("button", name=label).click()
    expect(visit.page.get_by_role("button", name=label)).to_have_attribute("aria-pressed", "true")
    visit.page.reload()
    expect(visit.page.get_by_role("button", name=label)).to_have_attribute("aria-pressed", "true")
    [row] = rows(gateway, Feedback)
    assert (row.seq, row.helpful) == (3, helpful)
