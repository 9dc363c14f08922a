"""Intake to dispatch to 回访, search, copilot, phone, review, switches, roster: the day's work in a real browser."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from bot.audit import AuditEntry, verify
from bot.cases.calendar import local_date
from bot.cases.models import Case, CaseEvent, Dispatch, FollowUp
from bot.conversations.engine import Decision
from bot.conversations.models import Conversation, HandOver, Message, Switch
from bot.desk import escalation
from bot.desk.models import CopilotOutcome, Note, Review
from bot.outbox.models import Delivery
from bot.staff import roster
from bot.staff.models import Role, ShiftReport
from tests.desk.pages import scene
from tests.harness import policy

WORDS = "我在桂林路家和电器买的电热水壶冒烟了，我叫韩雪梅，电话13904321187，要退款268元"


def understood(text, act="complaint"):
    """A reading as the engine gives it, with the entities of `text`."""

    def entity(kind, value):
        at = text.index(value)
        return {"entity": kind, "value": value, "start": at, "end": at + len(value)}

    found = [("name", "韩雪梅"), ("phone", "13904321187"), ("amount", "268元"), ("company", "家和电器")]
    reading = {
        "intent": act, "confidence": 0.95, "acts": {act: 0.95}, "measures": [], "scores": {}, "reason": "act",
        "text": text, "facet": "", "specified": True,
    }  # fmt: skip
    return Decision([], reading, [entity(kind, value) for kind, value in found if value in text])


def choose(page, label, option):
    page.get_by_label(label, exact=True).last.click()
    page.get_by_role("option", name=option).first.click()


def confirm(page, name):
    page.locator(".q-dialog:visible .ask button[type=submit]").get_by_text(name, exact=True).click()


def press(page, key):
    """Press a shortcut once something on the page answers to it and no dialog keeps the keys to itself."""
    page.wait_for_function(
        "![...document.querySelectorAll('.q-dialog .ask')].some((e) => e.getClientRects().length)"
    )
    page.locator(f'[data-key="{key}"]').first.wait_for(state="attached")
    page.keyboard.press(key)


def audited(room):
    return room.read(lambda s: [e.action for e in s.query(AuditEntry).order_by(AuditEntry.id)])


@pytest.fixture
def numbers(room):
    """Eight cases in different stages."""
    scene.people(room)
    return scene.cases(room)


def test_phone_intake_to_dispatch_to_follow_up(room, browse):
    room.engine.script[WORDS] = understood(WORDS)
    page = browse(room.agent, "/phone")
    page.get_by_label("来电人说的话", exact=False).fill(WORDS)
    expect(page.get_by_text("可以登记的工单")).to_be_visible()
    expect(page.locator(".copilot-result")).to_contain_text("139****1187")
    page.keyboard.press("F7")
    form = page.get_by_role("region", name="登记表")
    expect(form.get_by_label("电话", exact=False).first).to_have_value("13904321187")
    press(page, "F10")
    expect(page.get_by_text(re.compile("还缺|请先口头告知")).first).to_be_visible()
    assert room.read(lambda s: s.query(Case).count()) == 0
    for label, value in (
        ("被投诉方", "家和电器桂林路店"),
        ("对方地址", "长春市朝阳区桂林路"),
        ("您的要求", "退款268元"),
        ("姓名", "韩雪梅"),
    ):
        entry = form.get_by_label(label, exact=False).first
        if not entry.input_value():
            entry.fill(value)
    if not form.get_by_label("事情经过", exact=False).input_value():
        form.get_by_label("事情经过", exact=False).fill("电热水壶冒烟")
    form.get_by_text("已口头告知").click()
    press(page, "F10")
    receipt = page.get_by_text(re.compile(r"已登记：JL-T-"))
    expect(receipt).to_be_visible()
    case = room.read(lambda s: s.query(Case).one())
    assert case.channel == "phone" and case.stage == "waiting" and case.fields["phone"] == "13904321187"
    event = room.read(lambda s: s.query(CaseEvent).filter_by(kind="registered").one())
    assert event.actor == "staff:agent"
    outcome = room.read(lambda s: s.query(CopilotOutcome).one())
    assert outcome.kind == "case" and outcome.outcome in ("accepted", "edited")
    # The gateway must not answer what was written down of a call.
    assert room.read(lambda s: s.query(Message).filter_by(channel="phone").one().answered_at) is not None

    page.get_by_role("link", name="打开工单").click()
    page.wait_for_url(f"**/cases/{case.number}")
    expect(page.locator("#main")).to_contain_text("139****1187")
    assert "13904321187" not in page.content()
    press(page, "d")
    page.get_by_label("意见", exact=True).fill("请核实热水壶质量，依法处理。")
    page.get_by_label("协办部门（可多个）").click()
    page.get_by_role("option", name="产品质量监督").click()
    page.keyboard.press("Escape")
    page.get_by_label("时限（可不填）").fill((local_date(room.clock()) + timedelta(days=5)).isoformat())
    confirm(page, "派单")
    expect(page.get_by_text("派单：已完成。")).to_be_visible()
    parts = room.read(lambda s: {d.part: d.department for d in s.query(Dispatch)})
    assert parts["support"] == "产品质量监督" and parts["lead"]
    assert room.read(lambda s: s.query(Delivery).filter_by(kind="department").count()) == 2
    press(page, "a")
    confirm(page, "签收")
    expect(page.get_by_text("签收：已完成。")).to_be_visible()
    press(page, "b")
    page.get_by_label("办理结果").fill("经营者已退款268元。")
    confirm(page, "记录反馈")
    expect(page.get_by_text("记录反馈：已完成。")).to_be_visible()
    press(page, "v")
    choose(page, "问题解决了吗", "是")
    choose(page, "满意度", "非常满意")
    confirm(page, "回访")
    expect(page.get_by_role("region", name="回访")).to_contain_text("非常满意")
    call = room.read(lambda s: s.query(FollowUp).one())
    assert call.satisfaction == "非常满意" and call.solved is True
    assert room.read(lambda s: s.get(Case, case.number).stage) == "followed_up"
    assert {"case.file", "case.dispatch", "case.accept", "case.answer", "case.follow_up"} <= set(
        audited(room)
    )
    assert room.read(verify) is None


def test_a_refusal_of_the_service_is_shown(room, browse, numbers):
    page = browse(room.agent, f"/cases/{numbers[1]}")
    press(page, "d")
    page.get_by_label("意见", exact=True).fill("请办理")
    page.get_by_label("时限（可不填）").fill("2020-01-01")
    confirm(page, "派单")
    expect(page.get_by_text("办理时限不能早于今天。")).to_be_visible()
    assert room.read(lambda s: s.query(Dispatch).filter_by(case_number=numbers[1]).count()) == 0


def test_return_supervise_and_note(room, browse, numbers):
    page = browse(room.lead, f"/cases/{numbers[3]}")
    press(page, "r")
    choose(page, "退回原因", "地址不详")
    confirm(page, "退回")
    expect(page.get_by_role("region", name="派单")).to_contain_text("退回：地址不详")
    page.get_by_text("更多", exact=True).click()
    page.get_by_role("button", name="督办", exact=True).click()
    page.get_by_label("督办意见").fill("请尽快联系负责人")
    confirm(page, "督办")
    expect(page.get_by_text("督办中")).to_be_visible()
    press(page, "n")
    page.get_by_label("备注，市民看不到").fill("已电话提醒")
    confirm(page, "写备注")
    expect(page.get_by_role("region", name="内部备注")).to_contain_text("已电话提醒")
    assert room.read(lambda s: s.query(Note).filter_by(case_number=numbers[3]).count()) == 1


def test_merge_and_link(room, browse, numbers):
    page = browse(room.lead, f"/cases/{numbers[6]}")
    page.get_by_text("更多", exact=True).click()
    page.get_by_role("button", name="关联投诉和举报").click()
    page.get_by_label("另一件的编号").fill(numbers[1].lower())
    confirm(page, "关联投诉和举报")
    expect(page.get_by_role("link", name=numbers[1])).to_be_visible()
    page.get_by_role("button", name="并入另一件").click()
    page.get_by_label("并入的工单编号").fill(numbers[0])
    page.get_by_label("原因", exact=True).fill("同一件事")
    confirm(page, "并入另一件")
    expect(page.get_by_text("已并入").first).to_be_visible()
    assert room.read(lambda s: s.get(Case, numbers[6]).duplicate_of) == numbers[0]


def test_an_agent_has_no_supervision(room, browse, numbers):
    page = browse(room.agent, f"/cases/{numbers[3]}")
    page.get_by_text("更多", exact=True).click()
    expect(page.get_by_role("button", name="指定经办人")).to_be_visible()
    assert page.get_by_role("button", name="督办", exact=True).count() == 0
    assert page.get_by_role("button", name="并入另一件").count() == 0


def test_unmasking_and_correcting_a_case(room, browse, numbers):
    page = browse(room.agent, f"/cases/{numbers[0]}")
    press(page, "m")
    confirm(page, "显示")
    expect(page.get_by_text("请写明原因。")).to_be_visible()
    page.get_by_label("原因（必填）").first.fill("联系市民")
    confirm(page, "显示")
    content = page.get_by_role("region", name="内容")
    expect(content).to_contain_text("13904321100")
    assert audited(room).count("case.unmask") == 1
    press(page, "e")
    page.locator(".q-dialog:visible").get_by_label("电话", exact=False).fill("13904329999")
    page.get_by_label("更正的原因（必填）").fill("市民更正")
    confirm(page, "保存")
    expect(content).to_contain_text("13904329999")
    content.get_by_role("button", name="遮盖").click()
    expect(content).to_contain_text("139****9999")
    expect(content).not_to_contain_text("13904329999")


def test_search_filters_and_pages(room, browse, numbers):
    page = browse(room.lead, "/cases")
    table = page.locator("tbody tr")
    expect(table).to_have_count(8)
    query = page.get_by_label("编号、电话", exact=False)
    query.fill("酱油")
    query.press("Enter")
    expect(table).to_have_count(1)
    expect(table).to_contain_text(numbers[1])
    query.fill("13904321103")
    query.press("Enter")
    expect(page.get_by_text("按电话")).to_be_visible()
    expect(table).to_contain_text(numbers[3])
    assert "case.search_phone" in audited(room) and "13904321103" not in page.url
    assert page.get_by_role("link", name=re.compile("导出")).count() == 0
    query.fill(numbers[2])
    query.press("Enter")
    expect(page.get_by_text("按编号")).to_be_visible()
    query.fill("")
    query.press("Enter")
    choose(page, "标记", "已超期")
    expect(table).to_have_count(2)
    with page.expect_download() as got:
        page.get_by_role("link", name=re.compile("导出 csv")).click()
    text = got.value.path().read_text("utf-8-sig")
    assert numbers[3] in text and numbers[0] not in text and "1390432" not in text


def test_copilot_suggests_accepts_drops(room, browse):
    room.engine.script["人工"] = [{"compose": "handoff"}]
    room.engine.script["电梯维保费涨了，通知里有减免吗"] = policy(9, text="电梯维保费涨了，通知里有减免吗")
    citizen = room.citizen()
    citizen.say("人工")
    page = browse(room.agent, f"/conversations/{citizen.id}")
    press(page, "c")
    panel = page.get_by_role("region", name="座席助手")
    answer = page.get_by_label("答复市民", exact=False)
    reading = {
        "intent": "policy", "confidence": 0.9, "acts": {"policy": 0.9}, "measures": [9], "scores": {"9": 0.92},
        "reason": "measure named", "text": "电梯维保费涨了，通知里有减免吗", "facet": "what", "specified": True,
    }  # fmt: skip
    room.engine.script["电梯维保费涨了，通知里有减免吗"] = Decision([], reading, [])
    citizen.say("电梯维保费涨了，通知里有减免吗")
    expect(panel).to_contain_text("第9条")
    sentence = panel.locator(".sentence p").first.inner_text()
    page.keyboard.press("F2")
    expect(answer).to_have_value(sentence)
    # Inserted is not sent.
    assert all(m["author"] != "staff" for m in citizen.log())
    answer.focus()
    page.keyboard.press("Enter")
    expect(answer).to_have_value("")
    assert citizen.log()[-1]["text"] == sentence
    expect(page.get_by_role("log")).to_contain_text(sentence[:20])
    panel.get_by_label("市民说了什么", exact=False).fill("电梯维保费涨了，通知里有减免吗？")
    room.engine.script["电梯维保费涨了，通知里有减免吗？"] = Decision([], reading, [])
    expect(panel.locator(".sentence")).to_be_visible()
    page.keyboard.press("F9")
    expect(panel.locator(".sentence")).to_have_count(0)
    room.write(lambda s: None)
    outcomes = room.read(
        lambda s: [(o.kind, o.outcome) for o in s.query(CopilotOutcome).order_by(CopilotOutcome.id)]
    )
    assert outcomes == [("say", "accepted"), ("say", "dropped")]


def test_what_the_agent_changed_is_recorded_as_edited(room, browse):
    room.engine.script["人工"] = [{"compose": "handoff"}]
    citizen = room.citizen()
    citizen.say("人工")
    page = browse(room.agent, f"/conversations/{citizen.id}")
    press(page, "c")
    room.engine.script[WORDS] = understood(WORDS)
    panel = page.get_by_role("region", name="座席助手")
    panel.get_by_label("市民说了什么", exact=False).fill(WORDS)
    expect(panel.locator(".sentence")).to_be_visible()
    page.keyboard.press("F8")
    answer = page.get_by_label("答复市民", exact=False)
    expect(answer).not_to_have_value("")
    answer.fill("好的，我给您登记。")
    page.keyboard.press("Enter")
    expect(answer).to_have_value("")
    assert room.read(lambda s: [o.outcome for o in s.query(CopilotOutcome)]) == ["edited"]


def test_canned_sentence_goes_into_the_box(room, browse):
    room.engine.script["人工"] = [{"compose": "handoff"}]
    citizen = room.citizen()
    citizen.say("人工")
    page = browse(room.agent, f"/conversations/{citizen.id}")
    press(page, "c")
    expect(page.get_by_label("答复市民", exact=False)).to_be_focused()
    page.get_by_label("常用语").click()
    page.get_by_role("option", name=re.compile("正在为您查询")).click()
    expect(page.get_by_label("答复市民", exact=False)).to_have_value("正在为您查询，请稍候。")
    assert all(m["author"] != "staff" for m in citizen.log())


def test_review_labels_and_dismisses(room, browse):
    scene.reviews(room)
    page = browse(room.agent, "/reviews")
    row = page.locator(".row-slot")
    expect(row).to_contain_text("开饭店要啥证来着")
    row.get_by_role("button", name="保存标注").click()
    expect(page.get_by_text("已标注。")).to_be_visible()
    review = room.read(lambda s: s.query(Review).one())
    assert (review.state, review.act, review.decided_by) == ("labelled", "oos", room.agent.id)
    choose(page, "状态", "已标注")
    choose(page, "意思", "咨询措施")
    row.get_by_role("button", name="保存标注").click()
    # A policy question needs its measure.
    expect(page.locator(".q-notification.bg-warning")).to_be_visible()
    assert room.read(lambda s: s.query(Review).one().act) == "oos"
    choose(page, "措施", re.compile("第2条"))
    page.keyboard.press("Escape")
    choose(page, "问的是", re.compile("条件"))
    row.get_by_role("button", name="保存标注").click()
    expect(row).to_have_count(0)
    assert room.read(lambda s: s.query(Review).one().measures) == [2]


def test_switches_with_reason_reach_the_citizen(room, browse):
    page = browse(room.lead, "/switches")
    page.get_by_label("所有渠道显示", exact=False).fill("系统今晚22点维护。")
    page.get_by_role("button", name="发布紧急通告").click()
    expect(page.get_by_text("请写明原因。")).to_be_visible()
    assert room.read(lambda s: s.query(Switch).count()) == 0
    page.get_by_role("region", name="紧急通告").get_by_label("原因（必填）").fill("计划维护")
    page.get_by_role("button", name="发布紧急通告").click()
    expect(page.locator(".notices")).to_contain_text("系统今晚22点维护。")
    part = page.get_by_role("region", name="停用机器人")
    part.get_by_label("原因（必填）").fill("演练")
    page.get_by_role("button", name="打开停用机器人").click()
    expect(page.locator(".notices")).to_contain_text("机器人已停用")
    expect(page.get_by_role("region", name="记录")).to_contain_text("演练")
    page.wait_for_timeout(2200)  # the gateway's switchboard is at most two seconds old
    citizen = room.citizen()
    replies = citizen.say("电梯维保费涨了")
    assert any("暂停" in r["text"] for r in replies) and "电梯维保费涨了" not in room.engine.texts
    assert audited(room).count("switch") == 2


def test_a_call_climbs_the_roster(room, browse):
    staff = scene.people(room)
    first, second = staff[0], staff[1]
    room.engine.script["人工"] = [{"compose": "handoff"}]
    citizen = room.citizen()
    citizen.say("我们小区3号楼电梯困人了")
    main, deputy, leader = browse(first), browse(second), browse(room.lead)

    def climb():
        room.write(lambda s: escalation.climb(s, room.clock()))

    climb()
    expect(main.locator(".call")).to_contain_text("紧急呼叫")
    expect(deputy.locator(".strip")).to_contain_text("等待接入 1")
    assert deputy.locator(".call").count() == 0
    room.clock.advance(seconds=121)
    climb()
    expect(deputy.locator(".call")).to_contain_text("副班")
    expect(deputy.locator(".queue-list")).to_contain_text("已呼叫副班")
    room.clock.advance(seconds=121)
    climb()
    expect(leader.locator(".call")).to_contain_text("带班领导")
    main.get_by_role("button", name="知道了").click()
    expect(main.locator(".call")).to_have_count(0)
    leader.get_by_role("button", name="接入呼叫的会话").click()
    leader.wait_for_url(f"**/conversations/{citizen.id}")
    expect(deputy.locator(".call")).to_have_count(0)
    assert room.read(lambda s: s.query(HandOver).one().claimed_by) == room.lead.id


def test_a_silent_agent_loses_the_conversation(room, browse):
    room.engine.script["人工"] = [{"compose": "handoff"}]
    citizen = room.citizen()
    citizen.say("人工")
    page = browse(room.agent, f"/conversations/{citizen.id}")
    press(page, "c")
    expect(page.get_by_text("我在接待")).to_be_visible()
    room.clock.advance(minutes=11)
    room.write(lambda s: escalation.requeue_silent(s, room.clock()))
    expect(page.get_by_role("button", name="接入", exact=False).first).to_be_visible()
    assert room.read(lambda s: s.get(Conversation, citizen.id).owner) == "bot"


def test_roster_is_filled_and_the_shift_handed_over(room, browse):
    colleague = room.colleague("liu", "刘洋")
    page = browse(room.lead, "/roster")
    expect(page.get_by_text(re.compile("还有63个岗位没有人"))).to_be_visible()
    day = local_date(room.clock())
    label = f"{day.month}月{day.day}日（日）早班主班"
    page.get_by_label(label).click()
    page.get_by_role("option", name="刘洋").click()
    expect(page.get_by_text(re.compile("还有62个岗位没有人"))).to_be_visible()
    assert room.read(lambda s: roster.on_duty(s, room.clock())["主班"].id) == colleague.id
    page.get_by_label("要交代的事").fill("3号楼电梯的事等物业回话")
    page.get_by_role("button", name="交班", exact=True).click()
    expect(page.get_by_text("待签收")).to_be_visible()
    assert page.get_by_role("button", name="签收接班").count() == 0
    other = browse(colleague, "/roster")
    assert other.get_by_label(label).count() == 0
    other.get_by_role("button", name="签收接班").click()
    expect(other.get_by_text(re.compile("刘洋 接班"))).to_be_visible()
    assert room.read(lambda s: s.query(ShiftReport).one().taken_by) == colleague.id


def test_accounts_audit_dead_letters_and_retention(room, browse, numbers):
    page = browse(room.admin, "/staff")
    press(page, "n")
    page.get_by_label("用户名").fill("zhou")
    page.get_by_label("姓名").fill("周涛")
    confirm(page, "新建")
    expect(page.get_by_text("周涛的初始密码")).to_be_visible()
    password = page.locator(".panel .mono").first.inner_text()
    fresh = browse(None)
    fresh.goto(f"{room.url}/login")
    fresh.get_by_label("用户名").fill("zhou")
    fresh.get_by_label("密码", exact=False).first.fill(password)
    fresh.get_by_role("button", name="登录").click()
    fresh.wait_for_url("**/account")
    page.goto(f"{room.url}/audit")
    press(page, "v")
    expect(page.get_by_text(re.compile("没有被改动"))).to_be_visible()

    def die(session):
        session.query(Delivery).first().state = "dead"

    room.write(die)
    page.goto(f"{room.url}/dead-letters")
    page.get_by_role("button", name=re.compile("再发一次")).click()
    expect(page.get_by_text("没有发送失败的。")).to_be_visible()
    page.goto(f"{room.url}/retention")
    page.get_by_label("电话号码").fill("13904321100")
    with page.expect_download() as got:
        page.get_by_role("button", name="导出").click()
    assert numbers[0] in got.value.path().read_text("utf-8")
    assert (
        room.read(lambda s: s.query(AuditEntry).filter(AuditEntry.action.like("outbox.revive")).count()) == 1
    )


@pytest.mark.parametrize("path", ["/figures", "/switches", "/dead-letters", "/audit", "/staff", "/retention"])
def test_what_an_agent_may_not_open(room, browse, path):
    page = browse(room.agent)
    assert page.goto(f"{room.url}{path}").status == 403
    expect(page.get_by_text("您的岗位没有这项权限")).to_be_visible()


def test_a_demoted_colleague_is_refused_on_an_open_page(room, browse):
    from bot.staff import accounts

    page = browse(room.lead, "/switches")
    room.write(lambda s: accounts.set_role(s, room.lead, Role.AGENT, now=room.clock()))
    part = page.get_by_role("region", name="停用机器人")
    part.get_by_label("原因（必填）").fill("演练")
    page.get_by_role("button", name="打开停用机器人").click()
    expect(page.get_by_text("您的岗位没有这项权限。")).to_be_visible()
    assert room.read(lambda s: s.query(Switch).count()) == 0


def test_shortcuts_are_listed(room, browse):
    page = browse(room.agent)
    page.keyboard.press("?")
    expect(page.locator("dialog.help")).to_contain_text("g w")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/cases")
