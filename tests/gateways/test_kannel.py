"""SMS through a real Kannel and its simulator, into the real engine and back to the phone."""

from __future__ import annotations

import re
import time
import uuid

import pytest
from sqlalchemy import select

from bot.cases.models import Case
from bot.channels.sms_text import parts
from tests.gateways.conftest import KEY, until

pytestmark = pytest.mark.timeout(300)
SIGN = "【吉林12315】"


def test_chinese_in_and_out(town):
    number = town.number()
    answer = town.ask(number, "电梯维保能延长吗？")
    assert town.bodies(number) == ["电梯维保能延长吗？"]
    assert answer.startswith(f"{SIGN}机器人答复：第9条：")
    assert "※2020年疫情期政策，现行办法请人工确认" in answer
    assert re.search(r"\n回复 1\S+.*0人工$", answer)
    assert parts(answer) <= 3
    again = town.ask(number, "1")
    assert again.startswith(f"{SIGN}第9条：")
    assert town.bodies(number)[1] != "1"


def test_a_long_story_comes_in_three_parts_and_is_one_message(town):
    number = town.number()
    story = (
        "我要投诉，上个月在长春市朝阳区红旗街鑫隆旺超市买了一箱口罩，花了四十块钱，回家一撕就破，第二天去找，"
        * 4
    )
    story = story[:198] + "😷。"
    assert len(story) == 200
    assert town.phones.send(number, story) == 3
    town.answer(number, 0)
    assert town.bodies(number) == [story]
    assert parts(town.phones.texts(number)[0]) <= 3


def test_an_answer_in_parts_arrives_whole(town):
    number = town.number()
    answer = town.ask(number, "通知有没有写怎么申请集群注册")
    assert parts(answer) > 1
    assert answer.count(SIGN) == 1
    assert answer.endswith("0人工")


ANSWERS = {
    "respondent": "鑫隆旺超市",
    "respondent_address": "长春市朝阳区红旗街88号",
    "facts": "上周买的口罩一撕就破，花了四十块，不给退",
    "request": "退我四十块钱",
    "name": "王小明",
    "phone": "1",  # 用本机号码
}
ASKED = {
    "哪一家": "respondent", "店名": "respondent", "什么地方": "respondent_address", "大概在哪": "respondent_address",
    "怎么回事": "facts", "是怎么": "facts", "怎么解决": "request", "叫什么名字": "name", "怎么称呼": "name", "手机号": "phone",
}  # fmt: skip


def test_an_intake_to_its_receipt_one_question_an_sms(town):
    number = town.number()
    answer = town.ask(number, "我要投诉")
    seen = [answer]
    for _ in range(12):
        if "请核对" in answer:
            break
        asked = next(
            name for words, name in ASKED.items() if words in answer.rpartition("。\n")[2] or words in answer
        )
        answer = town.ask(number, ANSWERS[asked])
        seen.append(answer)
    assert "请核对投诉" in answer, seen
    assert "回复 1确认提交" in answer
    receipt = town.ask(number, "1")
    code = re.search(r"投诉已登记（不表示已受理），查询码(\d{12})", receipt)
    assert code, receipt
    for text in [*seen, receipt]:
        assert parts(text) <= 3
        assert number not in text
        assert "王小明" not in text
    with town.readers() as session:
        case = session.scalar(select(Case).where(Case.sms_code == code[1]))
        assert (case.channel, case.fields["phone"]) == ("sms", number)
    # The number that wrote is the proof: the code alone is enough.
    status = town.ask(number, f"查进度 {code[1]}")
    assert "已登记" in status
    assert code[1][:6] in status


def test_the_gateway_delivers_one_sms_four_times(town):
    number, id = town.number(), str(uuid.uuid4())
    for _ in range(4):
        # What smsbox does when it misses our answer: the same %I again.
        response = town.http.post(
            "/channels/sms/kannel",
            params={"key": KEY, "id": id, "from": number, "to": "12315"},
            content="电梯维保能延长吗",
        )
        assert (response.status_code, response.content) == (200, b"")
    town.answer(number, 0)
    time.sleep(3)
    assert len(town.phones.texts(number)) == 1
    assert town.bodies(number) == ["电梯维保能延长吗"]


def test_killed_between_acknowledgement_and_reply_the_reply_goes_out_once(town):
    number = town.number()
    with town.frozen("engine"):
        town.phones.send(number, "电梯维保能延长吗")
        until(lambda: town.bodies(number), 20, "stored")
        assert town.phones.texts(number) == []
        town.kill_gateway()
    answer = town.answer(number, 0, 90)
    assert "第9条" in answer or "工作人员" in answer or "值班" in answer
    town.wait_until_ready()
    time.sleep(4)
    assert len(town.phones.texts(number)) == 1
    assert len([m for m in town.rows(number) if m.author == "bot"]) == 1


def test_what_arrives_while_we_are_down_is_answered_when_we_are_back(town):
    number = town.number()
    town.wait_until_ready()
    with town.frozen("gateway"):
        town.phones.send(number, "你好")
        time.sleep(2)
    town.answer(number, 0, 60)
    time.sleep(3)
    # smsbox may have sent it again meanwhile: still one message.
    assert town.bodies(number) == ["你好"]
    assert len(town.phones.texts(number)) == 1


def test_the_gateway_is_down_and_nothing_is_lost(town):
    number = town.number()
    town.ask(number, "你好")
    town.kannel.stop()
    town.phones.close()
    for n, text in enumerate(("电梯维保能延长吗", "谢谢")):
        # Through another smsbox, as it were: in works, out does not.
        response = town.http.post(
            "/channels/sms/kannel",
            params={"key": KEY, "id": f"down-{number}-{n}", "from": number},
            content=text,
        )
        assert response.status_code == 200
    until(lambda: any(d.attempts for d in town.rows(number, _delivery())), 30, "a first attempt")
    town.kannel.start()
    town.phones = type(town.phones)(town.kannel.ports["10000"])
    texts = until(
        lambda: len(town.phones.texts(number)) == 2 and town.phones.texts(number), 90, "both answers"
    )
    assert "第9条" in texts[0]
    assert "第9条" not in texts[1]
    until(
        lambda: all(d.state in ("sent", "delivered") for d in town.rows(number, _delivery())), 20, "all sent"
    )


def test_delivery_reports_are_recorded(town):
    number = town.number()
    town.ask(number, "你好")
    rows = until(
        lambda: [d for d in town.rows(number, _delivery()) if d.state == "delivered"], 30, "a delivery report"
    )
    assert rows[0].delivered_at >= rows[0].sent_at


def test_a_person_is_one_digit_away(town):
    number = town.number()
    answer = town.ask(number, "0")
    assert "值班人员" in answer
    assert town.bodies(number) == ["转人工"]


def test_no_number_and_no_name_in_the_logs(town):
    number = town.number()
    town.ask(number, f"我叫欧阳建国，电话{number}，证件220104199001011232")
    logs = "".join(p.read_text("utf-8", "replace") for p in (town.config.home_dir / "logs").glob("*.log"))
    for secret in (number, "欧阳建国", "220104199001011232", KEY, "Traceback"):
        assert secret not in logs


def _delivery():
    from bot.outbox.models import Delivery

    return Delivery
