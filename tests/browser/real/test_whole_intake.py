"""A citizen with the widget at the real processes: from the first sentence to a receipt that is in the database."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from bot.cases.models import Case
from bot.conversations import attachments
from tests.browser.conftest import DESKTOP, PHONE, Visit
from tests.channels.test_attachments import png

PICTURES = os.environ.get("HOTLINE_TEST_PICTURES", "")  # a folder that pictures are put into
SLOW = 20_000


def picture(visit: Visit, name: str) -> None:
    if PICTURES:
        visit.page.wait_for_timeout(400)
        visit.page.screenshot(path=Path(PICTURES) / f"widget-{name}.png")


def say(visit: Visit, text: str) -> None:
    """Send and wait for the answer."""
    answers = visit.bot.count()
    visit.say(text)
    expect(visit.own.last).to_have_text(text)
    expect(visit.bot).to_have_count(answers + 1, timeout=SLOW)
    expect(visit.find(".waiting")).to_have_count(0)


def talk_of(visit: Visit) -> str:
    return str(visit.page.evaluate("JSON.parse(localStorage['hotline.conversation']).id"))


def cases(instance, visit: Visit) -> list[Case]:
    with instance.readers() as session:
        return list(session.scalars(select(Case).where(Case.conversation_id == talk_of(visit))))


@pytest.fixture
def opened(instance, visitor):
    """Makes a visit with the chat open."""

    def make(size):
        visit = visitor(f"http://127.0.0.1:{instance.config.port}", size)
        visit.open()
        return visit

    return make


SIZES = pytest.mark.parametrize(
    ("name", "size"), [("phone", PHONE), ("desktop", DESKTOP)], ids=["phone", "desktop"]
)


@SIZES
def test_from_the_first_sentence_to_the_receipt(instance, opened, name, size):
    visit, phone = opened(size), instance.phone()
    assert visit.violations() == []
    say(visit, "电梯维保那边缺人，想改成一个月来一回，行不行")
    expect(visit.find(".policy .badge")).to_have_text("第九条")
    picture(visit, name)
    say(visit, f"我要投诉，我姓韩，{phone}，在鑫隆旺超市买的口罩一撕就破，四十块钱不给退")
    expect(visit.find(".privacy")).to_be_visible()
    expect(visit.find(".progress")).to_be_visible()
    picture(visit, f"{name}-intake")
    assert visit.violations() == []
    say(visit, "长春市红旗街那个，退我四十就行")
    if not visit.find(".review").count():
        say(visit, "韩梅")
    review = visit.find(".review")
    expect(review.locator(".field", has_text="电话")).to_contain_text(f"{phone[:3]}****{phone[-4:]}")
    picture(visit, f"{name}-review")
    assert visit.violations() == []
    for label, value, shown in (
        ("被投诉方", "鑫隆旺大超市", "鑫隆旺大超市"),
        ("对方地址", "长春市朝阳区红旗街12号", "红旗街12号"),
        ("您的要求", "退四十块钱，赔个不是", "赔个不是"),
        ("姓名", "韩梅梅", "韩梅梅"),
    ):
        answers = visit.bot.count()
        review.last.get_by_role("button", name=label).click()
        visit.find(".editing input").fill(value)
        visit.page.get_by_role("button", name="改好了").click()
        expect(visit.bot).to_have_count(answers + 1, timeout=SLOW)
        expect(review.last.locator(".field", has_text=label)).to_contain_text(shown)
    visit.page.get_by_role("button", name="图片、文件和更多").click()
    with visit.page.expect_file_chooser() as chooser:
        visit.find(".tile", has_text="图片").click()
    chooser.value.set_files([{"name": "小票.png", "mimeType": "image/png", "buffer": png()}])
    expect(visit.find("article.system")).to_contain_text("小票.png")
    visit.page.get_by_role("button", name="确认提交").click()
    expect(visit.find(".receipt")).to_be_visible(timeout=SLOW)
    picture(visit, f"{name}-receipt")
    assert visit.violations() == []
    [case] = cases(instance, visit)
    expect(visit.find(".slip-number strong")).to_have_text(case.number)
    assert case.fields["respondent"] == "鑫隆旺大超市"
    assert "红旗街12号" in case.fields["respondent_address"]
    assert (case.fields["name"], case.fields["phone"]) == ("韩梅梅", phone)
    with instance.readers() as session:
        [given] = attachments.of_conversation(session, talk_of(visit))
        assert attachments.read(session, given.id, config=instance.config)[1] == png()
    say(visit, f"查进度 {case.number} {phone}")
    expect(visit.bot.last).to_contain_text("已登记")


@SIZES
def test_reloads_cuts_and_a_killed_gateway_lose_and_double_nothing(instance, opened, name, size):
    visit, phone = opened(size), instance.phone()
    context = visit.page.context
    said = ["我要投诉"]
    say(visit, said[0])
    visit.page.reload()
    expect(visit.own).to_have_text(said)
    # The network is cut while a message is sent: it never reaches the server.
    context.set_offline(True)
    said.append("百惠乐超市，在二道区东盛大街")
    visit.say(said[-1])
    expect(visit.failed).to_have_count(1)
    context.set_offline(False)
    expect(visit.bot).to_have_count(3, timeout=SLOW)
    # The response is lost: it was stored and answered, and the citizen does not know.
    visit.lose_responses()
    said.append("二月二十六号买的酸奶，回家一看都过期半个月了")
    visit.say(said[-1])
    expect(visit.bot).to_have_count(4, timeout=SLOW)
    visit.page.unroute("**/messages*")
    # The page is reloaded before the reply has come.
    said.append("退钱，退三十")
    visit.say(said[-1])
    visit.page.reload()
    expect(visit.bot).to_have_count(5, timeout=SLOW)
    # The gateway dies in the middle of the reply.
    said.append("孙月")
    visit.say(said[-1])
    instance.kill(instance.supervisor.gateway)
    instance.wait_until_ready()
    expect(visit.bot).to_have_count(6, timeout=60_000)
    said.append(phone)
    say(visit, phone)
    visit.page.get_by_role("button", name="确认提交").click()
    expect(visit.find(".receipt")).to_be_visible(timeout=SLOW)
    expect(visit.own).to_have_text([*said, "确认提交"])
    expect(visit.find(".waiting")).to_have_count(0)
    assert len(cases(instance, visit)) == 1
    visit.page.reload()
    expect(visit.own).to_have_text([*said, "确认提交"])
    expect(visit.find(".receipt")).to_have_count(1)
