"""Staff take over in a second browser: the citizen at the widget, an agent at the desk, all processes real."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from playwright.sync_api import Browser, Page, expect

from bot.staff import accounts
from bot.staff.models import Role
from bot.storage import make_engine, make_sessions
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.real.test_whole_intake import SLOW, picture, say, talk_of

PASSWORD = "Mei-Hua 2026 xue"


@pytest.fixture
def desk(instance, browser: Browser):
    """An agent's browser, logged in at the desk."""
    database = make_engine(instance.config.database)
    with make_sessions(database).begin() as session:
        accounts.add_staff(
            session,
            "takeover",
            "王敏",
            Role.AGENT,
            PASSWORD,
            now=datetime.now(timezone.utc),
            must_change=False,
        )
    database.dispose()
    context = browser.new_context(viewport=DESKTOP, locale="zh-CN", timezone_id="Asia/Shanghai")
    page = context.new_page()
    page.set_default_timeout(SLOW)
    url = f"http://127.0.0.1:{instance.config.desk_port}"
    page.goto(f"{url}/login")
    page.get_by_label("用户名").fill("takeover")
    page.get_by_label("密码", exact=False).first.fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    page.wait_for_url(f"{url}/")
    yield page
    context.close()


def answer(page: Page, text: str) -> None:
    box = page.get_by_label("答复市民", exact=False)
    box.fill(text)
    box.press("Enter")
    expect(box).to_have_value("")


def test_staff_take_over_answer_and_give_back(instance, visitor, desk: Page) -> None:
    citizen = visitor(f"http://127.0.0.1:{instance.config.port}", PHONE)
    citizen.open()
    say(citizen, "电梯维保能延长吗")
    say(citizen, "转人工")
    expect(citizen.find(".bot").last).to_contain_text("排队")
    expect(citizen.page.get_by_text("正在排队", exact=False)).to_be_visible(timeout=SLOW)

    row = desk.locator(".queue-list .line").first
    expect(row).to_be_visible(timeout=SLOW)
    row.click()
    desk.wait_for_url(f"**/conversations/{talk_of(citizen)}")
    log = desk.get_by_role("log", name="对话记录")
    # What was said before is there: nothing has to be asked twice.
    expect(log).to_contain_text("电梯维保能延长吗")
    desk.get_by_role("button", name="接入").first.click()
    expect(citizen.page.get_by_text("王敏已接入", exact=False)).to_be_visible(timeout=SLOW)
    expect(citizen.page.get_by_text("王敏 正在为您服务", exact=False)).to_be_visible(timeout=SLOW)

    answer(desk, "您好，我是王敏，请讲。")
    expect(citizen.find("article.staff").last).to_contain_text("您好，我是王敏，请讲。", timeout=SLOW)
    picture(citizen, "takeover")
    citizen.say("维保公司要改成一个月一次")
    expect(log).to_contain_text("维保公司要改成一个月一次", timeout=SLOW)
    # The bot was not asked: only staff and system have spoken since.
    answered = citizen.bot.count()
    citizen.page.reload()
    expect(citizen.find("article.staff").last).to_contain_text("您好，我是王敏，请讲。", timeout=SLOW)
    expect(citizen.bot).to_have_count(answered)

    answer(desk, "要三个前提都满足才行。")
    expect(citizen.find("article.staff").last).to_contain_text("要三个前提都满足才行。", timeout=SLOW)
    desk.get_by_role("button", name="交回机器人").first.click()
    expect(citizen.page.get_by_text("后面由机器人继续", exact=False)).to_be_visible(timeout=SLOW)
    say(citizen, "商品条码去哪办")
    expect(citizen.bot.last).to_contain_text("中国物品编码中心")
