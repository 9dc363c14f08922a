"""Nothing is lost and nothing comes twice, whatever happens to network, page and server."""

from __future__ import annotations

import asyncio
import json
import re
import threading

import pytest
from playwright.sync_api import expect

from tests.harness import ready


def held(gateway, text):
    """The engine answers `text` only after `release()`, which waits until it was asked."""
    asked, answer = threading.Event(), threading.Event()

    async def step(_):
        asked.set()
        while not answer.is_set():
            await asyncio.sleep(0.02)
        return [ready(f"收到：{text}")]

    def release():
        assert asked.wait(5)
        answer.set()

    gateway.hotline.engine.script[text] = step
    return release


def with_choices(gateway, *labels):
    gateway.hotline.engine.script["选哪个"] = [ready("您选一个。", choices=list(labels))]


def said(visit):
    """All bubbles in their order."""
    return [each.strip() for each in visit.find("article .Bubble.text").all_inner_texts()]


def test_greets_and_answers(gateway, visit):
    visit.say("你好")
    expect(visit.bot.last).to_contain_text("收到：你好")
    expect(visit.own).to_have_text(["你好"])
    expect(visit.find("#entry")).to_have_value("")
    expect(visit.find(".typist")).to_have_count(0)
    expect(visit.find(".state")).to_have_count(0)
    assert visit.errors == []


def test_a_choice_is_sent_as_such_and_void_after_the_next_turn(gateway, visit):
    with_choices(gateway, "甲", "乙")
    visit.say("选哪个")
    expect(visit.choices).to_have_text(["甲", "乙"])
    sent = []
    visit.page.on("request", lambda r: sent.append(r.post_data_json) if r.method == "POST" else None)
    visit.choices.first.click()
    expect(visit.bot.last).to_contain_text("收到：甲")
    expect(visit.choices).to_have_count(0)
    assert set(sent[0]) == {"client_message_id", "choice"}
    assert gateway.texts("user") == ["选哪个", "甲"]


def test_choices_stay_after_a_line_of_the_system_and_go_with_a_person(gateway, visit):
    expect(visit.choices).not_to_have_count(0)
    gateway.add("system", "收到“小票.png”。")
    expect(visit.find("article.system")).to_contain_text("小票.png")
    expect(visit.choices).not_to_have_count(0)
    gateway.add("staff", "我是值班员。")
    expect(visit.choices).to_have_count(0)


def test_a_refused_message_is_sent_again_under_its_id(gateway, visit):
    sent = visit.refuse_once(503, "not_stored", "消息没有收下，请稍后重发。")
    visit.say("红旗街那个")
    expect(visit.failed).to_contain_text("消息没有收下")
    visit.failed.get_by_role("button", name="重发").click()
    expect(visit.bot.last).to_contain_text("收到：红旗街那个")
    expect(visit.failed).to_have_count(0)
    expect(visit.own).to_have_text(["红旗街那个"])
    assert sent[0] == sent[1]
    assert gateway.texts("user") == ["红旗街那个"]


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_lost_response_does_not_double(gateway, visit, lost):
    visit.lose_responses(lost)
    visit.say("退我四十就行")
    expect(visit.bot).to_have_count(2)
    expect(visit.own).to_have_text(["退我四十就行"])
    expect(visit.failed).to_have_count(0)
    visit.say("谢谢")
    expect(visit.bot).to_have_count(3)
    assert gateway.texts("user") == ["退我四十就行", "谢谢"]
    assert gateway.hotline.engine.texts == ["退我四十就行", "谢谢"]


def test_a_lost_response_without_a_stream_does_not_double(gateway, visit):
    visit.page.route("**/events", lambda route: route.abort())
    visit.page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(visit.find(".status")).to_contain_text("正在重连")
    visit.page.route("**/messages?*", lambda route: route.abort())  # nor can it read the log
    visit.lose_responses()
    visit.say("退我四十就行")
    expect(visit.bot).to_have_count(2)
    expect(visit.own).to_have_text(["退我四十就行"])
    assert gateway.texts("user") == ["退我四十就行"]


def test_an_expired_choice_is_sent_as_words(gateway, visit):
    sent = visit.refuse_once(422, "unknown_choice", "这个选项已经失效，请直接输入文字。")
    visit.choices.filter(has_text="我要投诉").click()
    visit.failed.get_by_role("button", name="重发").click()
    expect(visit.bot.last).to_contain_text("收到：我要投诉")
    assert sent[1]["text"] == "我要投诉"


def test_a_rate_limit_tells_how_long(visit):
    visit.refuse_once(429, "too_many", "发送得太快了，请稍等一会儿再试。", **{"Retry-After": "7"})
    visit.say("喂")
    expect(visit.failed).to_contain_text("约7秒后")


def test_what_the_server_never_takes_goes_back_into_the_box(gateway, visit):
    visit.refuse_once(413, "too_large", "请求太大，请减少内容后重试。")
    visit.say("很长的话")
    expect(visit.failed.get_by_role("button", name="重发")).to_have_count(0)
    visit.failed.get_by_role("button", name="修改").click()
    expect(visit.find("#entry")).to_have_value("很长的话")
    expect(visit.own).to_have_count(0)
    visit.page.reload()
    expect(visit.bot).to_have_count(1)
    expect(visit.failed).to_have_count(0)


def test_sending_and_typing_are_shown_until_the_answer_comes(gateway, visit):
    release = held(gateway, "你好")
    visit.say("你好")
    expect(visit.find(".typist")).to_be_visible()
    expect(visit.find(".status")).to_have_text("对方正在输入…")
    release()
    expect(visit.bot).to_have_count(2)
    expect(visit.find(".typist")).to_have_count(0)
    expect(visit.find(".status")).to_have_text("机器人自动回复，可随时转人工")


def test_messages_typed_in_a_row_keep_their_order(gateway, visit):
    release = held(gateway, "一")
    for text in ("一", "二", "三"):
        visit.say(text)
    expect(visit.own).to_have_text(["一", "二", "三"])
    release()
    expect(visit.bot).to_have_count(4)
    assert said(visit)[1:] == ["一", "收到：一", "二", "收到：二", "三", "收到：三"]
    assert gateway.texts("user") == ["一", "二", "三"]


def test_offline_is_told_and_all_go_out_in_order_when_it_is_back(gateway, visit):
    visit.page.context.set_offline(True)
    expect(visit.find(".status")).to_contain_text("网络断开了")
    for text in ("一", "二", "三"):
        visit.say(text)
    expect(visit.failed).to_have_count(3)
    expect(visit.failed.first).to_contain_text("连上后会自动重发")
    visit.page.context.set_offline(False)
    expect(visit.bot).to_have_count(4)
    expect(visit.failed).to_have_count(0)
    assert gateway.texts("user") == ["一", "二", "三"]
    expect(visit.own).to_have_text(["一", "二", "三"])


def test_a_network_cut_during_the_reply_loses_nothing(gateway, visit):
    release = held(gateway, "红旗街那个")
    visit.say("红旗街那个")
    expect(visit.find(".typist")).to_be_visible()
    visit.page.wait_for_timeout(200)  # until it has surely left
    visit.page.context.set_offline(True)
    release()
    expect(visit.find(".status")).to_contain_text("网络断开了")
    visit.page.context.set_offline(False)
    expect(visit.bot.last).to_contain_text("收到：红旗街那个")
    expect(visit.own).to_have_text(["红旗街那个"])
    expect(visit.failed).to_have_count(0)
    assert gateway.texts("user") == ["红旗街那个"]
    assert gateway.hotline.engine.texts == ["红旗街那个"]


def test_a_server_that_goes_away_and_comes_back_loses_nothing(gateway, visit):
    gateway.stop()
    visit.say("还在吗")
    expect(visit.find(".status")).to_contain_text("正在重连")
    gateway.restart()
    expect(visit.bot.last).to_contain_text("收到：还在吗", timeout=15_000)
    expect(visit.failed).to_have_count(0)
    expect(visit.own).to_have_text(["还在吗"])
    assert gateway.texts("user") == ["还在吗"]


def test_a_failed_message_stays_where_it_was_said(gateway, visit):
    visit.refuse_once(503, "not_stored", "消息没有收下，请稍后重发。")
    visit.say("一")
    expect(visit.failed).to_have_count(1)
    visit.say("二")
    expect(visit.bot).to_have_count(2)
    assert said(visit)[1:] == ["一", "二", "收到：二"]


def test_no_reply_means_that_a_person_has_the_conversation(gateway, visit):
    gateway.own("person", "王强")
    visit.say("在吗")
    expect(visit.find(".status")).to_contain_text("正在为您服务")
    expect(visit.own).to_have_text(["在吗"])
    expect(visit.find(".waiting")).to_have_count(0)
    expect(visit.find(".typist")).to_have_count(0)


def test_a_reload_restores_a_log_of_many_pages(gateway, visit):
    for number in range(620):
        gateway.add("bot", f"第{number}句")
    visit.say("你好")
    expect(visit.bot).to_have_count(622, timeout=20_000)
    visit.page.reload()
    expect(visit.bot).to_have_count(622, timeout=20_000)
    assert said(visit)[1:4] == ["第0句", "第1句", "第2句"]
    expect(visit.own).to_have_text(["你好"])
    assert len(gateway.conversations()) == 1


def test_a_reload_sends_what_was_not_confirmed_once(gateway, visit):
    visit.page.route("**/messages", lambda route: route.abort())
    visit.say("别丢了")
    expect(visit.failed).to_have_count(1)
    visit.page.unroute("**/messages")
    visit.page.reload()
    expect(visit.bot.last).to_contain_text("收到：别丢了")
    expect(visit.own).to_have_text(["别丢了"])
    visit.page.reload()
    expect(visit.own).to_have_text(["别丢了"])
    assert gateway.texts("user") == ["别丢了"]


def test_a_reload_in_the_middle_of_the_reply_shows_it_once(gateway, visit):
    release = held(gateway, "红旗街那个")
    visit.say("红旗街那个")
    expect(visit.find(".typist")).to_be_visible()
    visit.page.reload()
    expect(visit.own).to_have_text(["红旗街那个"])
    release()
    expect(visit.bot.last).to_contain_text("收到：红旗街那个")
    expect(visit.own).to_have_text(["红旗街那个"])
    assert gateway.texts("user") == ["红旗街那个"]
    assert gateway.hotline.engine.texts == ["红旗街那个"]


def test_an_old_unconfirmed_message_waits_for_the_citizen(gateway, visit):
    visit.page.route("**/messages", lambda route: route.abort())
    visit.say("昨天的话")
    expect(visit.failed).to_have_count(1)
    visit.page.evaluate(
        """() => { const key = Object.keys(localStorage).find(k => k.startsWith("hotline.out."));
        const item = JSON.parse(localStorage[key]); item.at -= 3600e3; localStorage[key] = JSON.stringify(item); }"""
    )
    visit.page.unroute("**/messages")
    visit.page.reload()
    expect(visit.failed).to_contain_text("上次没有发出")
    assert gateway.texts("user") == []
    visit.failed.get_by_role("button", name="重发").click()
    expect(visit.bot.last).to_contain_text("收到：昨天的话")


def test_a_draft_survives_a_reload(visit):
    visit.page.fill("#entry", "写到一半")
    visit.page.reload()
    expect(visit.find("#entry")).to_have_value("写到一半")


def test_the_conversation_is_there_on_the_next_day(gateway, visit, browser):
    visit.say("你好")
    expect(visit.bot).to_have_count(2)
    kept = visit.page.context.storage_state()
    gateway.stop()
    gateway.hotline.clock.now = gateway.hotline.clock.now.replace(day=23)
    gateway.restart()
    context = browser.new_context(storage_state=kept, locale="zh-CN")
    page = context.new_page()
    page.goto(gateway.url)
    page.get_by_role("button", name="在线咨询").last.click()
    expect(page.locator("article.user .typed")).to_have_text(["你好"])
    expect(page.locator("article.bot")).to_have_count(2)
    context.close()
    assert len(gateway.conversations()) == 1


@pytest.mark.parametrize("lost", ["unknown", "token"])
def test_a_conversation_that_is_lost_is_replaced_and_told(gateway, visit, lost):
    visit.say("编号记一下")
    expect(visit.bot).to_have_count(2)
    kept = json.loads(visit.page.evaluate("localStorage['hotline.conversation']"))
    wrong = {"id": "gone", "token": "x"} if lost == "unknown" else kept | {"token": "x"}
    visit.page.evaluate("talk => localStorage['hotline.conversation'] = JSON.stringify(talk)", wrong)
    visit.page.reload()
    expect(visit.find("article.system")).to_contain_text("新开了一个会话")
    expect(visit.bot).to_have_count(1)
    visit.say("你好")
    expect(visit.bot.last).to_contain_text("收到：你好")
    assert len(gateway.conversations()) == 2


def test_a_conversation_lost_while_open_keeps_what_is_on_the_screen(gateway, visit):
    visit.say("一")
    expect(visit.bot).to_have_count(2)
    # The widget believes a server only after a while: one that knows nothing may just have started.
    visit.page.wait_for_timeout(10_500)
    old = gateway.conversations()[0]
    visit.page.route(re.compile(old), lambda route: route.fulfill(status=404, json={}))
    visit.say("二")
    expect(visit.find("article.system")).to_contain_text("新开了一个会话")
    expect(visit.failed).to_contain_text("没有发出")
    visit.failed.get_by_role("button", name="重发").click()
    expect(visit.bot.last).to_contain_text("收到：二")
    expect(visit.own).to_have_text(["一", "二"])


def test_an_opening_that_fails_is_told_and_tried_again(gateway, visitor):
    visit = visitor(gateway.url)
    refused = []

    def route(each):
        refused.append(each)
        return each.abort() if len(refused) < 3 else each.continue_()

    visit.page.route("**/conversations", route)
    visit.page.goto(gateway.url)
    visit.page.get_by_role("button", name="在线咨询").last.click()
    expect(visit.find(".banner")).to_contain_text("正在自动重连")
    expect(visit.find(".banner a")).to_have_attribute("href", "tel:12315")
    visit.say("先写下")
    expect(visit.bot.last).to_contain_text("收到：先写下", timeout=15_000)
    expect(visit.find(".banner")).to_have_count(0)
    assert len(gateway.conversations()) == 1


def test_a_background_tab_catches_up_when_it_is_seen_again(gateway, visit):
    hide = """hidden => { Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange")); }"""
    visit.page.evaluate(hide, True)
    gateway.stop()  # A phone closes what a background tab has open.
    gateway.restart()
    gateway.add("staff", "我是值班员小王。")
    visit.page.evaluate(hide, False)
    expect(visit.find("article.staff")).to_contain_text("我是值班员小王。", timeout=3000)
    expect(visit.find("article.staff")).to_have_count(1)


def test_two_tabs_show_the_same_and_send_once(gateway, visit):
    other = visit.page.context.new_page()
    other.goto(gateway.url)
    other.get_by_role("button", name="在线咨询").last.click()
    expect(other.locator("article.bot")).to_have_count(1)
    visit.say("你好")
    for page in (visit.page, other):
        expect(page.locator("article.bot")).to_have_count(2)
        expect(page.locator("article.user .typed")).to_have_text(["你好"])
    assert len(gateway.conversations()) == 1
    assert gateway.texts("user") == ["你好"]


def test_a_closed_panel_counts_what_came(gateway, visit):
    visit.page.get_by_role("button", name="收起").click()
    gateway.add("staff", "我是值班员小王。")
    expect(visit.find(".launcher em")).to_have_text("1条新消息")
    visit.find(".launcher").click()
    expect(visit.find("article.staff .Bubble")).to_have_text("我是值班员小王。")
    visit.page.get_by_role("button", name="收起").click()
    expect(visit.find(".launcher em")).to_have_count(0)


def test_a_page_that_is_only_looked_at_opens_no_conversation(gateway, visitor):
    visit = visitor(gateway.url)
    visit.page.goto(gateway.url)
    expect(visit.find(".launcher")).to_be_visible()
    visit.page.wait_for_timeout(300)
    assert gateway.conversations() == []
