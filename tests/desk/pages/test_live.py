"""Log-in, queue, claim, live relay and what an agent does to a conversation, in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from bot.audit import AuditEntry
from bot.conversations.models import CallBack, Conversation, HandOver
from bot.desk.models import Note
from tests.desk.pages.conftest import log_in
from tests.harness import policy


@pytest.fixture
def person_wanted(room):
    """人工 calls for a person, as the engine decides it."""
    room.engine.script["人工"] = [{"compose": "handoff"}]


@pytest.fixture
def waiting(room, person_wanted):
    """A citizen in the queue."""
    citizen = room.citizen()
    citizen.say("我在桂林路买的手机坏了，电话13904321187")
    citizen.say("人工")
    return citizen


def press(page, key):
    """Press a shortcut once something on the page answers to it and no dialog keeps the keys to itself."""
    page.wait_for_function(
        "![...document.querySelectorAll('.q-dialog .ask')].some((e) => e.getClientRects().length)"
    )
    page.locator(f'[data-key="{key}"]').first.wait_for(state="attached")
    page.keyboard.press(key)


def actions(room, prefix=""):
    return room.read(
        lambda s: [
            e.action for e in s.query(AuditEntry).order_by(AuditEntry.id) if e.action.startswith(prefix)
        ]
    )


def test_nothing_without_log_in(room, browse):
    page = browse(None)
    page.goto(f"{room.url}/conversations/x")
    assert "/login" in page.url
    page.get_by_label("用户名").fill("agent")
    page.get_by_label("密码", exact=False).first.fill("wrong password 1 A")
    page.get_by_role("button", name="登录").click()
    expect(page.get_by_role("alert")).to_contain_text("不对")
    log_in(page, room, "agent")
    expect(page.get_by_role("heading", name="工作台")).to_be_visible()
    page.get_by_role("button", name="退出登录").click()
    page.wait_for_url("**/login")
    page.goto(room.url)
    assert "/login" in page.url


def test_menu_hides_and_the_page_refuses(room, browse):
    page = browse(room.agent)
    menu = page.get_by_role("navigation", name="主菜单")
    expect(menu.get_by_role("link", name="工单", exact=True)).to_be_visible()
    assert menu.get_by_role("link", name="审计").count() == 0
    response = page.goto(f"{room.url}/audit")
    assert response.status == 403
    expect(page.get_by_text("您的岗位没有这项权限")).to_be_visible()


def test_queue_is_live_and_one_key_claims(room, browse, person_wanted):
    page = browse(room.agent)
    expect(page.get_by_text("现在没有人等待。")).to_be_visible()
    citizen = room.citizen()
    citizen.say("我在桂林路买的手机坏了，电话13904321187")
    citizen.say("人工")
    expect(page.get_by_text(re.compile("^已等"))).to_be_visible()
    assert page.title().startswith("(1)")
    press(page, "c")
    page.wait_for_url(f"**/conversations/{citizen.id}")
    expect(page.get_by_text("我在接待")).to_be_visible()
    assert "值班员王敏已接入" in citizen.log()[-1]["text"]
    assert "conversation.claim" in actions(room)


def test_emergencies_stand_first(room, browse, waiting):
    def urgent(session):
        session.query(HandOver).one().created_at = room.clock.now

    room.write(urgent)
    room.clock.advance(minutes=1)
    danger = room.citizen()
    danger.say("电梯困人了，快来人")
    page = browse(room.agent)
    rows = page.locator(".queue-list .line")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("紧急")
    assert danger.id in rows.first.get_attribute("href")


def test_two_agents_claim_and_the_other_sees_who(room, browse, waiting):
    colleague = room.colleague("liu", "刘洋")
    path = f"/conversations/{waiting.id}"
    pages = {"王敏": browse(room.agent, path), "刘洋": browse(colleague, path)}
    watching = browse(room.lead)
    for page in pages.values():
        expect(page.get_by_role("button", name="接入")).to_be_visible()
    expect(watching.locator(".queue-list .line")).to_have_count(1)
    for page in pages.values():
        # At once: neither page has heard of the other's claim yet.
        page.evaluate("document.querySelector('.talk-main [data-key=c]').click()")
    expect(watching.get_by_text("现在没有人等待。")).to_be_visible()
    winner = room.read(lambda s: s.get(Conversation, waiting.id).owner_name)
    loser = next(name for name in pages if name != winner)
    expect(pages[winner].get_by_text("我在接待")).to_be_visible()
    expect(pages[loser].get_by_text(f"这个会话已由{winner}接入。")).to_be_visible()
    expect(pages[loser].get_by_text(f"{winner}接待中")).to_be_visible()
    expect(pages[loser].get_by_label("答复市民", exact=False)).to_be_hidden()
    assert actions(room, "conversation.claim") == ["conversation.claim"]


def test_relay_both_ways(room, browse, waiting):
    page = browse(room.agent, f"/conversations/{waiting.id}")
    log = page.get_by_role("log", name="对话记录")
    expect(log).to_contain_text("139****1187")
    assert "13904321187" not in page.content()
    press(page, "c")
    answer = page.get_by_label("答复市民", exact=False)
    expect(answer).to_be_focused()
    answer.press_sequentially("您好，<b>请说</b>")
    page.keyboard.press("Shift+Enter")
    answer.press_sequentially("我在听")
    page.keyboard.press("Enter")
    expect(log).to_contain_text("您好，<b>请说</b>")
    expect(answer).to_have_value("")
    said = waiting.log()[-1]
    assert (
        said["author"] == "staff" and said["text"] == "您好，<b>请说</b>\n我在听" and said["name"] == "王敏"
    )
    assert waiting.say("手机店不给退") == []
    expect(log).to_contain_text("手机店不给退")
    assert room.engine.texts.count("手机店不给退") == 0


def test_typing_shows_and_an_open_blank_is_not_sent(room, browse, waiting):
    page = browse(room.agent, f"/conversations/{waiting.id}")
    press(page, "c")
    answer = page.get_by_label("答复市民", exact=False)
    expect(answer).to_be_focused()
    room.clock.advance(seconds=30)
    answer.press_sequentially("已为您登记，编号〔编号〕")
    page.wait_for_timeout(500)
    owner_active = room.read(lambda s: s.get(Conversation, waiting.id).owner_active_at)
    assert owner_active == room.clock()
    page.keyboard.press("Enter")
    expect(page.get_by_text("还有〔〕没有填写")).to_be_visible()
    assert all(m["author"] != "staff" for m in waiting.log())


def test_hand_back_queue_transfer_close(room, browse, waiting):
    liu = room.colleague("liu", "刘洋")
    page = browse(room.agent, f"/conversations/{waiting.id}")
    press(page, "c")
    expect(page.get_by_text("我在接待")).to_be_visible()
    # The cursor comes into the answer box by itself; a letter pressed before Esc would be typed there.
    expect(page.get_by_label("答复市民", exact=False)).to_be_focused()
    page.keyboard.press("Escape")
    press(page, "u")
    expect(page.get_by_text("等待接入", exact=True).last).to_be_visible()
    press(page, "c")
    expect(page.get_by_text("我在接待")).to_be_visible()
    # The cursor comes into the answer box by itself; a letter pressed before Esc would be typed there.
    expect(page.get_by_label("答复市民", exact=False)).to_be_focused()
    page.keyboard.press("Escape")
    press(page, "t")
    page.get_by_role("combobox", name="同事").click()
    page.get_by_role("option", name="刘洋").click()
    page.get_by_role("button", name="转给", exact=True).click()
    expect(page.get_by_text("刘洋接待中")).to_be_visible()
    other = browse(liu)
    other.get_by_role("region", name="我的会话").get_by_role("link").click()
    other.get_by_role("button", name="结束服务").click()
    other.get_by_role("button", name="结束", exact=True).click()
    expect(other.get_by_text("机器人接待", exact=True)).to_be_visible()
    assert "打个分" in waiting.log()[-1]["text"]
    assert actions(room, "conversation.") == [
        "conversation.claim", "conversation.release", "conversation.claim",
        "conversation.transfer", "conversation.close",
    ]  # fmt: skip


def test_notes_stay_inside(room, browse, waiting):
    page = browse(room.agent, f"/conversations/{waiting.id}")
    page.get_by_label("写一条备注", exact=False).fill("店主态度不好，注意留证据")
    page.get_by_role("button", name="保存备注").click()
    expect(page.locator(".note")).to_contain_text("店主态度不好")
    assert room.read(lambda s: s.query(Note).one().staff_id) == room.agent.id
    assert "店主态度" not in str(waiting.log())


def test_unmasking_needs_a_reason_and_is_audited(room, browse, waiting):
    page = browse(room.agent, f"/conversations/{waiting.id}")
    press(page, "m")
    page.get_by_role("button", name="显示", exact=True).click()
    expect(page.get_by_text("请写明原因。")).to_be_visible()
    assert actions(room, "conversation.unmask") == []
    page.get_by_label("原因（必填）").fill("回拨核实")
    page.get_by_role("button", name="显示", exact=True).click()
    expect(page.get_by_role("log")).to_contain_text("13904321187")
    entry = room.read(lambda s: s.query(AuditEntry).filter_by(action="conversation.unmask").one())
    assert entry.actor == "staff:agent" and "回拨核实" in str(entry.detail)
    page.get_by_role("button", name="遮盖号码").click()
    expect(page.get_by_role("log")).not_to_contain_text("13904321187")


def test_what_the_bot_understood(room, browse):
    room.engine.script["电梯维保补贴"] = policy(9, facet="conditions")
    citizen = room.citizen()
    citizen.say("电梯维保补贴")
    page = browse(room.agent, f"/conversations/{citizen.id}")
    expect(page.get_by_text("第9条").first).to_be_visible()


def test_call_back_is_seen_and_done(room, browse, waiting):
    room.write(
        lambda s: s.add(
            CallBack(
                id="call-1", conversation_id=waiting.id, phone="13904321187", state="open",
                created_at=room.clock(), due_at=room.clock(),
            )
        )
    )  # fmt: skip
    room.clock.advance(minutes=5)
    page = browse(room.agent)
    part = page.get_by_role("region", name="待回电")
    expect(part).to_contain_text("139****1187")
    expect(part).to_contain_text("已过5分")
    part.get_by_role("button", name="完整号码").click()
    expect(part).to_contain_text("13904321187")
    assert "conversation.call_back_phone" in actions(room)
    part.get_by_role("button", name="已回电").click()
    page.get_by_label("情况").fill("已说明")
    page.get_by_role("button", name="保存", exact=True).click()
    expect(page.get_by_text("没有约定的回电。")).to_be_visible()
    assert room.read(lambda s: s.get(CallBack, "call-1").state) == "done"


def test_a_withdrawn_log_in_cannot_act(room, browse, waiting):
    from bot.staff import accounts

    page = browse(room.agent, f"/conversations/{waiting.id}")
    button = page.get_by_role("button", name="接入")
    expect(button).to_be_visible()
    room.write(lambda s: accounts.set_active(s, room.agent, False, now=room.clock()))
    button.click()
    page.wait_for_url("**/login**")
    assert room.read(lambda s: s.get(Conversation, waiting.id).owner) == "bot"


def test_an_open_page_is_present_until_nobody_moves(room, browse):
    from bot.staff.models import StaffSession
    from bot.staff.presence import present

    page = browse(room.agent)
    expect(page.get_by_role("heading", name="工作台")).to_be_visible()
    for _ in range(3):
        room.clock.advance(minutes=2)
        room.app.state.desk.note_presence()
    assert room.read(lambda s: present(s, room.clock())) == 1
    room.clock.advance(minutes=room.hotline.config.desk_session_idle_minutes)
    room.app.state.desk.note_presence()
    ended = room.read(lambda s: s.query(StaffSession).filter_by(staff_id=room.agent.id).one().ended_at)
    assert ended == room.clock()


def test_a_phone_shows_everything(room, browse, waiting):
    page = browse(room.agent, width=390, height=844)
    expect(page.locator(".queue-list .line")).to_be_visible()
    page.get_by_role("button", name="菜单").click()
    expect(page.get_by_role("link", name="会话", exact=True)).to_be_visible()
    page.goto(f"{room.url}/conversations/{waiting.id}")
    page.get_by_role("button", name="接入").click()
    expect(page.get_by_label("答复市民", exact=False)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
