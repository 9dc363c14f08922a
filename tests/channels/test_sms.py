"""SMS through the gateway's app on a scripted engine: stored first, acknowledged, answered from the outbox, once."""

import json
import re
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from bot.cases import store as cases
from bot.cases.calendar import SHANGHAI
from bot.cases.models import CaseType
from bot.channels.doors import adapters
from bot.channels.sms_gateways import signature
from bot.conversations import addresses, log, notices, ownership
from bot.conversations.delivery import quiet_until
from bot.conversations.models import Address, Conversation, Message
from bot.crypto import data_key
from bot.outbox.models import Delivery
from bot.outbox.worker import Retry, Worker
from bot.settings import settings
from bot.staff.models import Staff
from tests.harness import Call, ready

PHONE = "13800138000"
ON = {"sms_gateway": "kannel", "sms_secret": "key", "sms_url": "http://127.0.0.1:9/", "rate_limits": "off"}


class Sms:
    """A phone before a gateway's app, and what was sent to phones."""

    def __init__(self, hotline):
        self.hotline = hotline
        self.out = []  # (number, text)
        self.fail = []  # exceptions to raise first
        self.ids = 0
        self._worker()

    def _worker(self):
        adapter = adapters(self.hotline.config, self.hotline.readers)["sms"]
        adapter.gateway.send = self._send
        self.worker = Worker(self.hotline.sessions, {"sms": adapter}, now=self.hotline.clock)

    async def _send(self, outgoing):
        if self.fail:
            raise self.fail.pop(0)
        self.out.append(outgoing)
        return None

    def restart(self):
        self.hotline.restart()
        self._worker()

    async def post(self, text, number=PHONE, id="", key="key"):
        self.ids += 1
        query = {"key": key, "id": id or f"id-{self.ids}", "from": number, "to": "12315"}
        path = "/channels/sms/kannel"
        return await self.hotline.http.post(path, params=query, content=text.encode())

    async def settle(self):
        while self.hotline.app.state.running:
            for task in list(self.hotline.app.state.running):
                await task

    async def sent(self):
        """Everything that goes out now."""
        before = len(self.out)
        while await self.worker.once():
            pass
        return [o.text for o in self.out[before:]]

    async def say(self, text, number=PHONE, id=""):
        response = await self.post(text, number, id)
        assert (response.status_code, response.content) == (200, b""), response.text
        await self.settle()
        return await self.sent()

    def rows(self, table):
        with self.hotline.readers() as session:
            return list(session.scalars(select(table)))

    def conversation(self, number=PHONE):
        with self.hotline.readers() as session:
            hashed = addresses.address_hash("sms", number)
            row = session.scalar(select(Address).where(Address.address_hash == hashed))
            return session.get(Conversation, row.conversation_id)


@pytest.fixture
def sms(make_hotline, monkeypatch):
    for name, value in ON.items():
        monkeypatch.setenv(f"HOTLINE_{name.upper()}", value)
    settings.cache_clear()
    return Sms(make_hotline(**ON))


@pytest.fixture
def make_sms(make_hotline, monkeypatch):
    def make(**more):
        for name, value in (ON | more).items():
            monkeypatch.setenv(f"HOTLINE_{name.upper()}", str(value))
        settings.cache_clear()
        return Sms(make_hotline(**(ON | more)))

    return make


def lodge(sms, conversation_id, phone, *, anonymous=False, type=CaseType.COMPLAINT, channel="widget"):
    """A case as an intake leaves it; gives its number."""
    now = sms.hotline.clock()
    fields = {"facts": "口罩一撕就破", "respondent": "鑫隆超市"} | (
        {} if anonymous else {"phone": phone, "name": "王小明"}
    )
    with sms.hotline.sessions.begin() as session:
        draft = cases.open_draft(session, conversation_id, now=now, type=type)
        case = cases.submit(
            session, draft, parts=[cases.Part(type, fields, anonymous=anonymous)], message_id=f"m-{conversation_id[:8]}-{now}",
            channel=channel, now=now,
        )[0]  # fmt: skip
        return case.number


def set_status(sms, number, status):
    with sms.hotline.sessions.begin() as session:
        case = session.get(cases.Case, number)
        cases.add_event(session, case, "status", actor="staff:li", now=sms.hotline.clock(), status=status)
        return len(notices.notify_status(session, case, sms.hotline.clock()))


# -- in and out -------------------------------------------------------------------------------------


async def test_an_sms_is_stored_acknowledged_empty_and_answered_from_the_outbox(sms):
    response = await sms.post("电梯维保能延长吗")
    assert (response.status_code, response.content) == (200, b"")
    assert [m.body for m in sms.rows(Message) if m.author == "user"] == ["电梯维保能延长吗"]
    assert sms.out == []
    await sms.settle()
    assert await sms.sent() == ["【吉林12315】机器人答复：收到：电梯维保能延长吗"]
    assert await sms.say("再问") == ["【吉林12315】收到：再问"]
    assert [o.to for o in sms.out] == [PHONE] * 2
    assert [d.state for d in sms.rows(Delivery)] == ["sent"] * 2


async def test_the_same_id_four_times_is_one_message_one_turn_one_answer(sms):
    for _ in range(4):
        assert (await sms.post("你好", id="same")).status_code == 200
    await sms.settle()
    assert len(await sms.sent()) == 1
    assert sms.hotline.engine.texts == ["你好"]
    assert [m.author for m in sms.rows(Message)] == ["user", "bot"]


async def test_the_same_id_after_two_days_opens_no_new_conversation(sms):
    await sms.say("你好", id="same")
    sms.hotline.clock.advance(hours=48)
    assert await sms.say("你好", id="same") == []
    assert len(sms.rows(Conversation)) == 1


async def test_a_process_that_dies_after_the_acknowledgement_answers_when_it_is_back(sms, monkeypatch):
    monkeypatch.setattr("bot.channels.sms.answer_later", lambda app, id: None)
    await sms.post("你好")
    assert (await sms.sent(), sms.hotline.engine.texts) == ([], [])
    sms.restart()
    assert await sms.hotline.turns.resume() == 1
    assert len(await sms.sent()) == 1
    assert await sms.hotline.turns.resume() == 0


async def test_reply_and_its_delivery_are_stored_together_or_not_at_all(sms, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("full")

    monkeypatch.setattr("bot.conversations.delivery.enqueue", broken)
    await sms.post("你好")
    await sms.settle()
    assert [m.author for m in sms.rows(Message)] == ["user"]
    monkeypatch.undo()
    settings.cache_clear()


async def test_a_gateway_that_is_down_loses_nothing_and_keeps_the_order(sms):
    sms.fail = [Retry("down")] * 3
    assert await sms.say("一") == []
    assert await sms.say("二") == []
    sms.hotline.clock.advance(seconds=200)
    found = []
    for _ in range(6):
        found += await sms.sent()
        sms.hotline.clock.advance(seconds=200)
    assert found == ["【吉林12315】机器人答复：收到：一", "【吉林12315】收到：二"]


async def test_a_locked_database_is_not_acknowledged(make_hotline, monkeypatch):
    hotline = make_hotline(busy_timeout=0.1, **ON)
    sms = Sms(hotline)
    with hotline.sessions.begin() as session:
        session.execute(select(Message))
        assert (await sms.post("你好", id="a")).status_code == 503
    assert (await sms.post("你好", id="a")).status_code == 200
    assert len(sms.rows(Message)) >= 1
    await sms.settle()


@pytest.mark.parametrize("key", ["", "wrong", "键"])
async def test_a_wrong_key_is_refused(sms, key):
    response = await sms.post("你好", key=key)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "bad_signature")
    assert sms.rows(Message) == []


@pytest.mark.parametrize(
    "query", [{"from": ""}, {"from": "abc"}, {"id": ""}, {"id": "x" * 101}, {"id": "换\n行"}]
)
async def test_what_kannel_never_sends_is_refused(sms, query):
    params = {"key": "key", "id": "1", "from": PHONE} | query
    response = await sms.hotline.http.post("/channels/sms/kannel", params=params, content="你好".encode())
    assert response.status_code == 422


async def test_another_gateway_than_the_one_that_is_on_is_not_there(sms):
    assert (await sms.hotline.http.post("/channels/sms/json", json={})).status_code == 404


async def test_without_settings_there_is_no_sms(hotline):
    assert (await hotline.http.post("/channels/sms/kannel?key=")).status_code in (404, 405)


def test_a_gateway_without_its_key_stops_the_start(make_hotline):
    with pytest.raises(ValueError, match="HOTLINE_SMS_SECRET"):
        make_hotline(sms_gateway="kannel", sms_url="http://127.0.0.1:9/")


@pytest.mark.parametrize("number", ["+8613800138000", "8613800138000", "008613800138000", " 8613800138000"])
async def test_every_way_of_writing_a_number_is_the_same_citizen(sms, number):
    await sms.say("一")
    assert await sms.say("二", number=number) == ["【吉林12315】收到：二"]
    assert len(sms.rows(Address)) == 1


async def test_an_empty_sms_is_acknowledged_and_nothing_else(sms):
    assert await sms.say("  ") == []
    assert sms.rows(Message) == []


async def test_a_long_story_comes_whole(sms):
    story = "我在超市买了东西。" * 30
    await sms.say(story)
    assert sms.hotline.engine.texts == [story]


async def test_eight_bit_data_is_ucs2_whose_coding_got_lost(sms):
    query, headers = {"key": "key", "id": "8", "from": PHONE}, {"X-Kannel-Coding": "1"}
    body = "电梯😷".encode("utf-16-be")
    await sms.hotline.http.post("/channels/sms/kannel", params=query, content=body, headers=headers)
    await sms.settle()
    assert sms.hotline.engine.texts == ["电梯😷"]


async def test_the_number_and_the_text_are_sealed_and_not_logged(sms, logged):
    await sms.say(f"我叫王小明，电话{PHONE}")
    raw = (sms.hotline.config.home_dir / "hotline.db").read_bytes()
    wal = sms.hotline.config.home_dir / "hotline.db-wal"
    raw += wal.read_bytes() if wal.exists() else b""
    assert PHONE.encode() not in raw
    assert "王小明".encode() not in raw
    assert PHONE not in json.dumps(logged, default=str)


# -- the conversation of a number -------------------------------------------------------------------


async def test_a_new_conversation_after_24_hours(sms):
    await sms.say("一")
    sms.hotline.clock.advance(hours=23, minutes=59)
    await sms.say("二")
    assert len(sms.rows(Conversation)) == 1
    sms.hotline.clock.advance(hours=24, minutes=1)
    assert await sms.say("三") == ["【吉林12315】机器人答复：收到：三"]
    assert len(sms.rows(Conversation)) == 2


async def test_an_open_record_keeps_its_conversation_for_seven_days(sms):
    await sms.say("我要投诉")
    with sms.hotline.sessions.begin() as session:
        cases.open_draft(session, sms.conversation().id, now=sms.hotline.clock(), type=CaseType.COMPLAINT)
    first = sms.conversation().id
    sms.hotline.clock.advance(days=6)
    await sms.say("继续")
    assert sms.conversation().id == first
    sms.hotline.clock.advance(days=8)
    await sms.say("你好")
    assert sms.conversation().id != first
    with sms.hotline.readers() as session:
        assert cases.current_draft(session, first) is None


async def test_a_person_keeps_the_conversation_and_is_heard_whichever_it_is(sms):
    await sms.say("人工")
    first = sms.conversation().id
    with sms.hotline.sessions.begin() as session:
        log.queue_hand_over(session, first, "要求人工", urgent=False, now=sms.hotline.clock())
    sms.hotline.clock.advance(days=3)
    await sms.say("还在吗")
    assert sms.conversation().id == first


async def test_words_of_staff_go_out_as_sms(sms):
    await sms.say("人工")
    now = sms.hotline.clock()
    with sms.hotline.sessions.begin() as session:
        staff = Staff(
            id="s1", username="li", name="李", role="agent", active=True, password_hash="x", created_at=now
        )
        session.add(staff)
        session.flush()
        ownership.claim(session, sms.conversation().id, staff, now=now)
        ownership.say(
            session,
            sms.conversation().id,
            staff,
            "您好，请打13904321187。" + "句子。" * 300,
            client_message_id="c1",
            now=now,
        )
        ownership.say(session, sms.conversation().id, staff, "第二条", client_message_id="c2", now=now)
    texts = await sms.sent()
    assert "李" in texts[0]
    assert texts[1].startswith("【吉林12315】您好，请打139****1187。句子。")
    assert "".join(t.removeprefix("【吉林12315】") for t in texts[1:3]).count("句子。") == 300
    assert texts[3:] == ["【吉林12315】第二条"]
    assert await sms.say("谢谢") == []


async def test_a_staff_text_in_two_sms_is_not_begun_again_when_the_second_fails(sms):
    await sms.say("人工")
    with sms.hotline.sessions.begin() as session:
        conversation = session.get(Conversation, sms.conversation().id)
        log.append(session, conversation, "staff", log.Reply("句子。" * 300, {}), sms.hotline.clock())
    send, calls = sms.worker._adapters["sms"].gateway.send, []

    async def second_fails(outgoing):
        calls.append(outgoing.text)
        if len(calls) == 2:
            raise Retry("down")
        return await send(outgoing)

    sms.worker._adapters["sms"].gateway.send = second_fails
    await sms.sent()
    sms.hotline.clock.advance(minutes=5)
    await sms.sent()
    assert len(calls) == 3
    assert calls[1] == calls[2] != calls[0]


# -- menu -------------------------------------------------------------------------------------------


async def test_a_digit_presses_the_key_of_the_last_menu(sms):
    engine = sms.hotline.engine
    engine.script["电梯"] = [ready("第9条。", choices=["有什么条件", "怎么办", "转人工"])]
    assert (await sms.say("电梯"))[0].endswith("第9条。\n回复 1有什么条件 2怎么办 0人工")
    for said in ("2", "２", "回复1", "1.", " 1 "):
        engine.script["怎么办"] = engine.script["有什么条件"] = engine.script["电梯"]
        await sms.say(said)
    assert engine.texts[1:] == ["怎么办", "怎么办", "有什么条件", "有什么条件", "有什么条件"]


async def test_zero_calls_a_person_at_any_time(sms):
    await sms.say("0")
    assert sms.hotline.engine.texts == ["转人工"]


async def test_a_digit_without_a_menu_is_a_text(sms):
    sms.hotline.engine.script["电梯"] = [ready("第9条。", choices=["有什么条件"])]
    await sms.say("电梯")
    await sms.say("7")
    await sms.say("1")
    assert sms.hotline.engine.texts == ["电梯", "7", "1"]


async def test_a_picked_measure_comes_with_its_digit(sms):
    with sms.hotline.sessions.begin() as session:
        row = addresses.open_address(session, "sms", PHONE, now=sms.hotline.clock())
        conversation = session.get(Conversation, row.conversation_id)
        choices = (
            log.Choice("measure4", "许可延续", "许可延续", (4,)),
            log.Choice("measure5", "换证", "换证", (5,)),
        )
        log.append(
            session,
            conversation,
            "bot",
            log.Reply("哪一个？", {"kind": "clarify"}, choices),
            sms.hotline.clock(),
        )
    seen = []

    async def look(call: Call):
        seen.append(call.context["picked"])
        return [ready("好")]

    sms.hotline.engine.script["换证"] = look
    await sms.say("2")
    assert seen == [[5]]


async def test_the_senders_number_is_offered_as_the_contact_phone(sms):
    card = {"intake": {"asked": "phone"}}
    sms.hotline.engine.script["投诉"] = [ready("请留手机号。", "intake", choices=["不留了"], card=card)]
    assert (await sms.say("投诉"))[0].endswith("回复 1用本机号码 2不留了")
    await sms.say("1")
    assert sms.hotline.engine.texts[-1] == PHONE
    assert PHONE not in "".join(o.text for o in sms.out)


async def test_a_notice_in_between_takes_no_menu_away(sms):
    sms.hotline.engine.script["电梯"] = [ready("第9条。", choices=["有什么条件"])]
    await sms.say("电梯")
    number = lodge(sms, sms.conversation().id, PHONE, channel="sms")
    set_status(sms, number, "已受理")
    await sms.say("1")
    assert sms.hotline.engine.texts[-1] == "有什么条件"


# -- notices ----------------------------------------------------------------------------------------


async def test_a_status_notice_by_template_and_for_the_case_only(sms):
    await sms.say("投诉")
    number = lodge(sms, sms.conversation().id, PHONE, channel="sms")
    assert set_status(sms, number, "已受理") == 1
    (text,) = await sms.sent()
    assert re.fullmatch(
        r"【吉林12315】您的投诉（查询码\d{12}）状态变为“已受理”，具体以办理部门的告知为准。", text
    )
    assert sms.out[-1].template == "status"
    assert set(sms.out[-1].variables) == {"type", "code", "status"}


async def test_notices_wait_for_the_end_of_the_quiet_hours_and_answers_do_not(sms):
    sms.hotline.clock.now = datetime(2026, 11, 22, 22, 30, tzinfo=SHANGHAI)
    assert len(await sms.say("投诉")) == 1
    number = lodge(sms, sms.conversation().id, PHONE, channel="sms")
    set_status(sms, number, "已受理")
    assert await sms.sent() == []
    assert len(await sms.say("在吗")) == 1
    sms.hotline.clock.now = datetime(2026, 11, 23, 8, 0, tzinfo=SHANGHAI)
    assert len(await sms.sent()) == 1


@pytest.mark.parametrize(
    ("at", "until"),
    [("20:59", "20:59"), ("21:00", "08:00"), ("23:59", "08:00"), ("00:00", "08:00"), ("07:59", "08:00"), ("08:00", "08:00"), ("12:00", "12:00")],
)  # fmt: skip
def test_quiet_hours(at, until):
    hour, minute = map(int, at.split(":"))
    now = datetime(2026, 11, 22, hour, minute, tzinfo=SHANGHAI)
    over = quiet_until(now, "21:00-08:00")
    assert over.strftime("%H:%M") == until
    assert timedelta(0) <= over - now < timedelta(hours=12)
    assert quiet_until(now, "") == now


@pytest.mark.parametrize("word", ["退订", "T", "td", "ＴＤ", " 退订。", "不要再发"])
async def test_who_unsubscribes_gets_no_notices_but_answers_until_the_word_that_undoes_it(sms, word):
    await sms.say("投诉")
    number = lodge(sms, sms.conversation().id, PHONE, channel="sms")
    assert (await sms.say(word))[0].startswith("【吉林12315】好的，不再给您发进度通知")
    assert sms.hotline.engine.texts == ["投诉"]
    set_status(sms, number, "已受理")
    assert await sms.sent() == []
    assert await sms.say("在吗") == ["【吉林12315】收到：在吗"]
    assert len(await sms.say("恢复通知")) == 1
    set_status(sms, number, "调解中")
    assert len(await sms.sent()) == 1


async def test_who_unsubscribes_while_a_notice_waits_is_left_alone(sms):
    sms.hotline.clock.now = datetime(2026, 11, 22, 22, 30, tzinfo=SHANGHAI)
    await sms.say("投诉")
    number = lodge(sms, sms.conversation().id, PHONE, channel="sms")
    set_status(sms, number, "已受理")
    await sms.say("退订")
    sms.hotline.clock.advance(hours=12)
    assert await sms.sent() == []


async def test_a_change_by_the_desk_tells_the_citizen_in_its_transaction_and_once(sms):
    notices.listen()
    notices.listen()
    await sms.say("投诉")
    number = lodge(sms, sms.conversation().id, PHONE, channel="sms")
    now = sms.hotline.clock()
    with sms.hotline.sessions.begin() as session:
        case = session.get(cases.Case, number)
        for status in ("已受理", "已受理"):
            cases.add_event(session, case, "status", actor="staff:li", now=now, status=status)
        cases.add_event(session, case, "note", actor="staff:li", now=now)
    assert len(await sms.sent()) == 1
    with pytest.raises(RuntimeError), sms.hotline.sessions.begin() as session:
        case = session.get(cases.Case, number)
        cases.add_event(session, case, "status", actor="staff:li", now=now, status="调解中")
        raise RuntimeError
    assert await sms.sent() == []


async def test_an_anonymous_case_is_never_pushed(sms):
    await sms.say("举报")
    number = lodge(sms, sms.conversation().id, "", anonymous=True, type=CaseType.REPORT, channel="sms")
    assert set_status(sms, number, "核查中") == 0


def receipt_in_widget(sms, talk, phone, **case):
    """What Turns does after the receipt of a case lodged in the widget."""
    number = lodge(sms, talk.id, phone, **case)
    with sms.hotline.sessions.begin() as session:
        row = session.get(cases.Case, number)
        message = Message(
            id=row.confirmed_by_message, conversation_id=talk.id, seq=9, author="user", channel="widget", body="确认",
            created_at=sms.hotline.clock(),
        )  # fmt: skip
        notices.after_receipt(session, message, sms.hotline.clock())
    return number


async def test_a_case_of_the_widget_goes_on_by_sms_once_the_number_is_confirmed(sms):
    talk = await sms.hotline.open()
    number = receipt_in_widget(sms, talk, PHONE)
    (asked,) = await sms.sent()
    assert asked.startswith("【吉林12315】有人在网上用本号码登记了投诉，查询码")
    assert asked.endswith("回复 1接收进度短信 2不是我登记的")
    assert "王小明" not in asked
    assert set_status(sms, number, "待受理") == 1  # the widget only
    assert await sms.sent() == []
    assert "状态有变化时会通知您" in (await sms.say("1"))[0]
    assert set_status(sms, number, "已受理") == 2
    assert len(await sms.sent()) == 1
    assert "已受理" in (await talk.log())[-1]["text"]


async def test_a_number_that_says_not_me_is_left_alone(sms):
    talk = await sms.hotline.open()
    number = receipt_in_widget(sms, talk, PHONE)
    await sms.sent()
    assert "不再" in (await sms.say("2"))[0]
    set_status(sms, number, "已受理")
    assert await sms.sent() == []
    sms.hotline.clock.advance(days=2)
    receipt_in_widget(sms, await sms.hotline.open(), PHONE)
    assert await sms.sent() == []


async def test_a_stranger_cannot_have_a_number_flooded(sms):
    for _ in range(3):
        receipt_in_widget(sms, await sms.hotline.open(), PHONE)
    assert len(await sms.sent()) == 1
    sms.hotline.clock.advance(days=1)
    receipt_in_widget(sms, await sms.hotline.open(), PHONE)
    assert len(await sms.sent()) == 1


async def test_a_confirmed_number_gets_the_receipt_without_a_question(sms):
    await sms.say("你好")
    receipt_in_widget(sms, await sms.hotline.open(), PHONE)
    (text,) = await sms.sent()
    assert text.startswith("【吉林12315】您的投诉已登记（不表示已受理），查询码")
    assert "回复" not in text


@pytest.mark.parametrize("phone", ["0431-88886666", "12345"])
async def test_a_land_line_gets_no_sms(sms, phone):
    receipt_in_widget(sms, await sms.hotline.open(), phone)
    assert sms.rows(Delivery) == []


async def test_after_a_receipt_the_turn_asks_the_phone(sms):
    talk = await sms.hotline.open()

    async def lodges(call: Call):
        now = sms.hotline.clock()
        with sms.hotline.sessions.begin() as session:
            draft = cases.open_draft(session, call.conversation_id, now=now, type=CaseType.COMPLAINT)
            part = cases.Part(CaseType.COMPLAINT, {"facts": "破了", "phone": PHONE})
            case = cases.submit(
                session, draft, parts=[part], message_id=call.message_id, channel="widget", now=now
            )[0]
            return [ready("已登记。", "receipt", case=case.number)]

    sms.hotline.engine.script["确认提交"] = lodges
    await talk.say("确认提交")
    assert "有人在网上用本号码登记了投诉" in (await sms.sent())[0]


# -- limits and reports -----------------------------------------------------------------------------


async def test_a_number_that_floods_is_stored_but_answered_once(make_sms):
    sms = make_sms(rate_limits="on", sms_per_minute=1)
    sent = [await sms.say(f"第{n}条") for n in range(9)]
    assert [len(s) for s in sent] == [1] * 6 + [0] * 3
    assert "太快" in sent[5][0]
    assert len([m for m in sms.rows(Message) if m.author == "user"]) == 9
    assert len(await sms.say("别的号码", number="13900139000")) == 1
    assert "119" in (await sms.say("电梯困人了，快来人"))[0]
    assert await sms.hotline.turns.resume() == 0


def report(sms, id, status, key="key"):
    path = "/channels/sms/kannel/report"
    return sms.hotline.http.get(path, params={"key": key, "id": id, "status": status})


async def test_delivery_reports_are_recorded_in_any_order(sms):
    await sms.say("你好")
    id = sms.rows(Delivery)[0].delivery_id
    assert (await report(sms, id, 8)).status_code == 200
    assert sms.rows(Delivery)[0].state == "sent"
    assert (await report(sms, id, 1)).status_code == 200
    assert (await report(sms, id, 2)).status_code == 200
    row = sms.rows(Delivery)[0]
    assert (row.state, row.delivered_at) == ("delivered", sms.hotline.clock())
    assert (await report(sms, "unknown", 1)).status_code == 200
    assert (await report(sms, id, 1, key="wrong")).status_code == 403
    assert (await report(sms, id, "x")).status_code == 422


async def test_a_report_of_failure_is_a_dead_letter(sms):
    await sms.say("你好")
    await report(sms, sms.rows(Delivery)[0].delivery_id, 16)
    assert sms.rows(Delivery)[0].state == "dead"


# -- the signed JSON gateway ------------------------------------------------------------------------


class TestSignedJson:
    @pytest.fixture
    def http(self, make_sms):
        self.sms = make_sms(sms_gateway="json")
        self.gateway = self.sms.hotline.app.state.sms
        self.gateway.clock = lambda: self.now
        self.now = 1_800_000_000.0
        return self.sms.hotline.http

    async def call(self, http, body, path="json", nonce="nonce-1234", secret="key", at=None, **header):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        timestamp = str(int(self.now if at is None else at))
        headers = {
            "X-Hotline-Timestamp": timestamp,
            "X-Hotline-Nonce": nonce,
            "X-Hotline-Signature": signature(secret, timestamp, nonce, content),
        } | header
        return await http.post(f"/channels/sms/{path}", content=content, headers=headers)

    async def test_a_signed_message_is_taken_and_answered(self, http):
        assert (await self.call(http, {"id": "1", "from": PHONE, "text": "你好"})).status_code == 200
        await self.sms.settle()
        assert len(await self.sms.sent()) == 1

    async def test_a_retry_with_a_new_nonce_is_the_same_message(self, http):
        for n in range(4):
            response = await self.call(
                http, {"id": "1", "from": PHONE, "text": "你好"}, nonce=f"nonce-000{n}"
            )
            assert response.status_code == 200
        await self.sms.settle()
        assert len(await self.sms.sent()) == 1

    async def test_a_replayed_call_is_refused(self, http):
        body = {"id": "1", "from": PHONE, "text": "你好"}
        assert (await self.call(http, body)).status_code == 200
        response = await self.call(http, body)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "replayed")
        await self.sms.settle()

    @pytest.mark.parametrize("age", [-301, 301, 10**9])
    async def test_outside_the_window_it_is_refused(self, http, age):
        response = await self.call(
            http, {"id": "1", "from": PHONE, "text": "你好"}, at=max(self.now - age, 0)
        )
        assert response.status_code == 403

    async def test_a_wrong_signature_uses_no_nonce_up(self, http):
        body = {"id": "1", "from": PHONE, "text": "你好"}
        assert (await self.call(http, body, secret="wrong")).status_code == 403
        assert (await self.call(http, body)).status_code == 200
        await self.sms.settle()

    async def test_a_changed_body_is_refused(self, http):
        wrong = {"X-Hotline-Signature": signature("key", str(int(self.now)), "nonce-1234", b"{}")}
        assert (await self.call(http, {"id": "1", "from": PHONE, "text": "你好"}, **wrong)).status_code == 403

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"null", b"{", b"[" * 5000, {"id": 1}, {"id": "1", "from": PHONE}, {"id": "1", "from": "x", "text": "a"},
                 {"id": "1", "from": PHONE, "text": 5}]
    )  # fmt: skip
    async def test_a_malformed_body_is_told(self, http, body):
        assert (await self.call(http, body)).status_code == 422

    async def test_reports_by_our_id_or_the_providers(self, http):
        await self.call(http, {"id": "1", "from": PHONE, "text": "你好"})
        await self.sms.settle()

        async def numbered(outgoing):
            return "provider-7"

        self.sms.worker._adapters["sms"].gateway.send = numbered
        await self.sms.worker.once()
        body = {"id": "provider-7", "status": "delivered"}
        assert (await self.call(http, body, path="json/report", nonce="nonce-5678")).status_code == 200
        assert self.sms.rows(Delivery)[0].state == "delivered"


async def test_the_console_takes_calls_of_this_machine_only(make_sms):
    sms = make_sms(sms_gateway="console")
    body = {"id": "1", "from": PHONE, "text": "你好"}
    response = await sms.hotline.http.post("/channels/sms/console", json=body)
    assert response.status_code in (200, 403)
    # httpx' transport calls from 127.0.0.1; a proxy in front does not.
    assert response.status_code == 200
    await sms.settle()


async def test_the_address_of_a_case_and_of_a_phone_are_the_same(sms):
    assert addresses.address_hash("sms", "+86 138-0013-8000") == data_key().phone_hash(PHONE)
