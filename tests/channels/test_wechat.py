"""The WeChat official account before a simulated WeChat: signature, AES, five seconds, retries, 客服消息."""

import asyncio
import json
import time

import httpx
import pytest
from sqlalchemy import select

from bot.channels import wechat
from bot.channels.doors import adapters
from bot.channels.wechat_api import WeChatApi
from bot.channels.wechat_crypto import Envelope, signature
from bot.channels.wechat_menu import check, load_menu
from bot.channels.wechat_text import MAX_BYTES, pieces, size
from bot.conversations import log
from bot.conversations.models import Address, Conversation, HandOver, Message
from bot.errors import HotlineError
from bot.outbox.models import Delivery
from bot.outbox.worker import Refused, Retry, Worker
from tests.channels.wechat_simulator import ACCOUNT, AES_KEY, APP_ID, TOKEN, WeChat, cdata, encrypted, sha1
from tests.harness import ready

OPENID = "oFxJ1example0000000000000001"
ON = {
    "wechat_token": TOKEN, "wechat_app_id": APP_ID, "wechat_app_secret": "app-secret", "wechat_api_url": "http://wechat.test",
}  # fmt: skip


class Account:
    """Our gateway and WeChat on both sides of it."""

    def __init__(self, hotline, *, aes):
        self.hotline = hotline
        self.wechat = WeChat(hotline.http, aes=aes)
        self.adapter = adapters(hotline.config, hotline.readers)["wechat"]
        self.adapter.api.client = self.client()
        self.worker = Worker(hotline.sessions, {"wechat": self.adapter}, now=hotline.clock)

    def client(self):
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.wechat.app), base_url=self.hotline.config.wechat_api_url
        )

    async def say(self, text, openid=OPENID):
        return await self.wechat.say(openid, text)

    async def push(self, kind, **fields):
        return await self.wechat.push(self.wechat.message(OPENID, kind, **fields))

    async def later(self, seconds=6):
        """What customer-service messages bring once WeChat's five seconds are over."""
        before = len(self.wechat.said)
        while self.hotline.app.state.running:
            await asyncio.wait(list(self.hotline.app.state.running))
        self.hotline.clock.advance(seconds=seconds)
        while await self.worker.once():
            pass
        return [text for _, text in self.wechat.said[before:]]

    def rows(self, table):
        with self.hotline.readers() as session:
            return list(session.scalars(select(table)))


@pytest.fixture(params=[False, True], ids=["plain", "aes"])
def account(request, make_hotline):
    return Account(make_hotline(**ON, wechat_aes_key=AES_KEY if request.param else ""), aes=request.param)


@pytest.fixture
def plain(make_hotline):
    return Account(make_hotline(**ON), aes=False)


# -- who calls --------------------------------------------------------------------------------------


async def test_wechat_proves_the_address(account):
    response = await account.hotline.http.get(
        "/channels/wechat", params=account.wechat.query() | {"echostr": "5837"}
    )
    assert (response.status_code, response.text) == (200, "5837")


@pytest.mark.parametrize(
    "change", [{"signature": "0" * 40}, {"nonce": "other"}, {"signature": ""}, {"signature": "签"}]
)
async def test_a_wrong_signature_is_403(plain, change):
    query = plain.wechat.query() | change
    get = await plain.hotline.http.get("/channels/wechat", params=query | {"echostr": "1"})
    post = await plain.hotline.http.post(
        "/channels/wechat", params=query, content=plain.wechat.message(OPENID, Content="x")
    )
    assert (get.status_code, post.status_code) == (403, 403)
    assert plain.rows(Message) == []


async def test_in_safe_mode_a_plain_a_changed_and_a_foreign_message_are_403(make_hotline):
    account = Account(make_hotline(**ON, wechat_aes_key=AES_KEY), aes=True)
    message = account.wechat.message(OPENID, Content="你好")
    sealed, other = encrypted(message), encrypted(message, "wx_somebody_else")
    for body, query in [
        (message, account.wechat.query(message)),
        (cdata(Encrypt=sealed), account.wechat.query(sealed) | {"msg_signature": sha1(TOKEN, "x")}),
        (cdata(Encrypt=sealed[:-8] + "AAAAAAA="), account.wechat.query(sealed)),
        (cdata(Encrypt=other), account.wechat.query(other)),
        (cdata(Encrypt="AAAA"), account.wechat.query("AAAA")),
        (cdata(Encrypt="键"), account.wechat.query("键")),
    ]:
        response = await account.hotline.http.post("/channels/wechat", params=query, content=body.encode())
        assert response.status_code == 403
    assert account.rows(Message) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"<xml>", b"<xml></xml>", b"\xff\xfe", b'<?xml version="1.0" encoding="nothing"?><xml/>',
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><FromUserName>&e;</FromUserName></xml>',
        cdata(FromUserName="o" * 65, MsgType="text", MsgId="1").encode(),
        cdata(FromUserName="　 ", MsgType="text", MsgId="1", Content="你好").encode(),
        cdata(FromUserName="o", MsgType="text", MsgId="²").encode(),
        cdata(FromUserName="o", MsgType="text").encode(),
    ],
)  # fmt: skip
async def test_what_is_no_message_is_refused(plain, body):
    response = await plain.hotline.http.post("/channels/wechat", params=plain.wechat.query(), content=body)
    assert response.status_code == 422
    assert "root:" not in response.text


# -- answers ----------------------------------------------------------------------------------------


async def test_an_answer_in_time_is_the_response_and_nothing_else(account):
    assert await account.say("电梯维保能延长吗") == "机器人答复：收到：电梯维保能延长吗"
    assert await account.say("再问") == "收到：再问"
    assert await account.later() == []
    assert [d.external_id for d in account.rows(Delivery)] == ["passive"] * 2


async def test_an_answer_that_is_late_comes_by_customer_service_once(account, monkeypatch):
    monkeypatch.setattr(wechat, "WITHIN", 0.05)
    go = asyncio.Event()

    async def slow(call):
        await go.wait()
        return [ready("慢慢来")]

    account.hotline.engine.script["慢"] = slow
    begun = time.monotonic()
    assert await account.say("慢") == ""
    assert time.monotonic() - begun < 4
    assert account.wechat.attempts == 1
    go.set()
    assert await account.later() == ["机器人答复：慢慢来"]
    assert await account.later() == []


async def test_the_five_seconds_are_kept_while_the_engine_is_slow(plain):
    async def slow(call):
        await asyncio.sleep(7)
        return [ready("到了")]

    plain.hotline.engine.script["慢"] = slow
    begun = time.monotonic()
    assert await plain.say("慢") == ""
    assert 4.0 < time.monotonic() - begun < 5.0
    assert await plain.later() == ["机器人答复：到了"]


async def test_retries_while_the_first_is_worked_on_are_one_message_and_one_answer(account):
    async def slow(call):
        while account.wechat.attempts < 3:
            await asyncio.sleep(0.01)
        return [ready("好")]

    account.hotline.engine.script["慢"] = slow
    account.wechat.patience = 1.0
    assert await account.say("慢") == "机器人答复：好"
    assert account.wechat.attempts == 3
    assert account.hotline.engine.texts == ["慢"]
    assert await account.later() == []
    assert [m.author for m in account.rows(Message)] == ["user", "bot"]


async def test_a_replayed_message_is_answered_once(account):
    message = account.wechat.message(OPENID, Content="你好")
    assert await account.wechat.push(message) == "机器人答复：收到：你好"
    assert await account.later(seconds=30) == []
    assert await account.wechat.push(message) == ""
    assert await account.later() == []
    assert account.hotline.engine.texts == ["你好"]
    assert len(account.rows(Message)) == 2


async def test_when_the_outbox_was_quicker_the_response_is_silent(plain):
    message = plain.wechat.message(OPENID, Content="你好")
    real = wechat._claim

    def late(app, id):
        app.state.turns.now.advance(seconds=6)
        asyncio.run(plain.worker.once())
        return real(app, id)

    wechat._claim = late
    try:
        assert await plain.wechat.push(message) == ""
    finally:
        wechat._claim = real
    assert plain.wechat.said == [(OPENID, "机器人答复：收到：你好")]


async def test_what_does_not_fit_one_text_comes_after_it(account):
    long = "第九条原文。\n" * 200
    account.hotline.engine.script["全文"] = [ready("先说短的"), ready(long)]
    assert await account.say("全文") == "机器人答复：先说短的"
    texts = await account.later()
    assert len(texts) == 2
    assert "\n".join(texts) == long.strip()


async def test_a_piece_that_is_out_does_not_come_again(plain):
    plain.hotline.engine.script["全文"] = [ready("一行字。\n" * 400)]
    assert await plain.say("全文") == ""
    plain.hotline.clock.advance(seconds=6)
    real = plain.adapter.api.say
    calls = []

    async def second_fails(openid, text):
        calls.append(text)
        if len(calls) == 2:
            raise Retry("down")
        await real(openid, text)

    plain.adapter.api.say = second_fails
    await plain.worker.once()
    await plain.later(seconds=60)
    assert len(calls) == len(set(calls)) + 1
    assert "".join(t.replace("\n", "") for _, t in plain.wechat.said).count("一行字。") == 400


async def test_a_digit_answers_the_menu(account):
    account.hotline.engine.script["电梯"] = [ready("第9条。", choices=["有什么条件", "转人工"])]
    assert await account.say("电梯") == "机器人答复：第9条。\n\n回复数字：\n1　有什么条件\n0　人工"
    await account.say("1")
    await account.say("0")
    assert account.hotline.engine.texts[1:] == ["有什么条件", "转人工"]


# -- kinds of messages and events -------------------------------------------------------------------


async def test_voice_with_its_words_is_a_text(account):
    assert (
        await account.push("voice", MediaId="m", Format="amr", Recognition="电梯维保")
        == "机器人答复：收到：电梯维保"
    )


@pytest.mark.parametrize(
    ("kind", "fields", "said", "logged_as"),
    [
        ("voice", {"MediaId": "m"}, "请打字", "［语音］"),
        ("voice", {"MediaId": "m", "Recognition": " "}, "请打字", "［语音］"),
        ("image", {"PicUrl": "http://127.0.0.1:9/x", "MediaId": "m"}, "图片收到了", "［图片］"),
        ("location", {"Location_X": "43.8"}, "请打字", "［不支持的消息］"),
    ],
)  # fmt: skip
async def test_what_the_bot_cannot_read_is_noted_and_said(account, kind, fields, said, logged_as):
    assert said in await account.push(kind, **fields)
    assert account.hotline.engine.texts == []
    assert account.rows(Message)[0].body == logged_as
    assert await account.later() == []


async def test_a_picture_for_a_person_is_only_noted(plain):
    await plain.say("人工")
    with plain.hotline.sessions.begin() as session:
        session.scalars(select(Conversation)).one().owner = "person"
    assert await plain.push("image", MediaId="m") == ""
    assert plain.rows(Message)[-1].body == "［图片］"


async def test_who_follows_is_greeted_and_a_retry_logs_nothing_twice(account):
    event = account.wechat.message(OPENID, "event", Event="subscribe", EventKey="")
    assert "机器人" in await account.wechat.push(event)
    assert "机器人" in await account.wechat.push(event)
    assert await account.later() == []
    assert [m.author for m in account.rows(Message)] == ["bot"]
    assert await account.say("你好") == "收到：你好"


async def test_who_leaves_gets_no_notices_any_more(account):
    await account.say("你好")
    assert await account.push("event", Event="unsubscribe", EventKey="") == ""
    assert account.rows(Address)[0].opted_out_at is not None
    await account.push("event", Event="subscribe", EventKey="")
    assert account.rows(Address)[0].opted_out_at is None


async def test_a_menu_click_says_its_words_once(account):
    event = account.wechat.message(OPENID, "event", Event="CLICK", EventKey="say:我要投诉")
    assert await account.wechat.push(event) == "机器人答复：收到：我要投诉"
    await account.wechat.push(event)
    assert account.hotline.engine.texts == ["我要投诉"]


@pytest.mark.parametrize("fields", [{"Event": "CLICK", "EventKey": "other"}, {"Event": "LOCATION"}, {}])
async def test_other_events_are_acknowledged(account, fields):
    assert await account.push("event", **fields) == ""
    assert account.rows(Message) == []


async def test_an_emergency_and_the_queue_work_as_on_every_channel(plain):
    assert "119" in await plain.say("电梯困人了，快来人")
    assert [h.urgent for h in plain.rows(HandOver)] == [True]


async def test_words_of_staff_come_by_customer_service_at_once(account):
    await account.say("人工")
    with account.hotline.sessions.begin() as session:
        conversation = session.scalars(select(Conversation)).one()
        log.append(session, conversation, "staff", log.Reply("您好，我是值班员", {}), account.hotline.clock())
    assert await account.later(seconds=0) == ["您好，我是值班员"]


async def test_nothing_about_the_citizen_is_in_the_log(account, logged):
    await account.say("我叫王小明，电话13904321187")
    assert "13904321187" not in json.dumps(logged, default=str)
    assert OPENID not in json.dumps(logged, default=str)


# -- the API ----------------------------------------------------------------------------------------


async def test_the_token_is_asked_for_once_and_again_when_stale(plain):
    api = plain.adapter.api
    await api.say(OPENID, "一")
    await api.say(OPENID, "二")
    assert plain.wechat.tokens == ["token-1"]
    plain.wechat.tokens.append("made-elsewhere")
    await api.say(OPENID, "三")
    assert plain.wechat.tokens[-1] == "token-3"
    assert [t for _, t in plain.wechat.said] == ["一", "二", "三"]


async def test_the_token_is_renewed_before_its_end(plain):
    clock = [0.0]
    api = WeChatApi(plain.hotline.config, clock=lambda: clock[0])
    api.client = plain.client()
    await api.token()
    clock[0] = 6899
    await api.token()
    assert len(plain.wechat.tokens) == 1
    clock[0] = 6901
    await api.token()
    assert len(plain.wechat.tokens) == 2


@pytest.mark.parametrize(
    ("code", "error"), [(45015, Refused), (40003, Refused), (-1, Retry), (45009, Retry), (99999, Retry)]
)
async def test_what_wechat_refuses_for_ever_and_for_now(plain, code, error):
    plain.wechat.fail = [code]
    with pytest.raises(error):
        await plain.adapter.api.say(OPENID, "你好")


async def test_a_wrong_app_secret_is_tried_again_later(make_hotline):
    account = Account(make_hotline(**(ON | {"wechat_app_secret": "wrong"})), aes=False)
    with pytest.raises(Retry, match="40125"):
        await account.adapter.api.say(OPENID, "你好")


async def test_an_api_that_is_down_says_neither_token_nor_secret():
    class Config:
        wechat_app_id, wechat_app_secret, wechat_api_url = APP_ID, "app-secret", "http://127.0.0.1:9"

    with pytest.raises(Retry) as raised:
        await WeChatApi(Config()).say(OPENID, "你好")
    assert str(raised.value) == "ConnectError"


# -- menu, crypto, text -----------------------------------------------------------------------------


async def test_the_menu_is_sent_as_it_stands(plain):
    menu = load_menu()
    await plain.adapter.api.set_menu(menu)
    assert plain.wechat.menus == [menu]


def test_the_menu_keeps_to_wechats_limits():
    assert check(load_menu()) == []


@pytest.mark.parametrize(
    ("menu", "said"),
    [
        ({}, "1 to 3"),
        ({"button": [{}] * 4}, "1 to 3"),
        ({"button": [{"name": "太长太长太长太长太长太长", "type": "click", "key": "say:a"}]}, "16 bytes"),
        (
            {"button": [{"name": "a", "sub_button": [{"name": "b", "type": "click", "key": "say:a"}] * 6}]},
            "5",
        ),
        ({"button": [{"name": "a", "type": "click", "key": "nothing"}]}, "say:"),
        ({"button": [{"name": "a", "type": "scancode_push", "key": "say:a"}]}, "click"),
    ],
)
def test_a_menu_that_wechat_would_refuse_is_told(menu, said):
    assert any(said in problem for problem in check(menu))


class TestEnvelope:
    """Values of wechatpy 1.8.18 for the same token, key and AppID."""

    SEALED = "/BdyNDaQwL2j0DATr9ecaBqbszdsthKbVkMBDkAgqHglCnntAw/jZ0l7Op46X94AtlCWk2hovjxlmWL7gQTrs+bZp7L8W7bvh9l5S0GUsc7MqAS4vMO3El/skgbuzdcS9vwri+UK6ERHaLNxxCgzAVlicsXD3DtAWj5K0tmVWuOJFO4f00YWS1h6OdwwxKkwnYGD2tPhex9+ucx3YfTIAYY42hyB2lTMeQoZSJtvD/rlLl9AZVTYNvaDbt41TtkYz2+fGM+sHyljgGGOCBAst7Hgjt2b2SnDOA95QO8DgQpydGDx3w/54QIASKsVAlgsC1YaTI0rG033akoiYz458k4fGj6YL8gDzSHrYe4Z8iBIWZB5Y2XM5oTw+bRkJaX0I+BiXMXFQlhfHHTIgGbY58W5hUTALZbZjQ+S00d4UU8="

    def test_signature(self):
        assert signature(TOKEN, "1800000000", "nonce-1") == "d6da3aaf9ce4a5ea3662fcd30b5ae4469c9b3d58"
        assert (
            signature(TOKEN, "1800000000", "nonce-1", self.SEALED)
            == "235160ed68f2fb7d70ac3fd14b2c5e4b31d365d2"
        )

    def test_it_opens_what_another_library_sealed(self):
        query = {
            "timestamp": "1800000000",
            "nonce": "nonce-1",
            "msg_signature": "235160ed68f2fb7d70ac3fd14b2c5e4b31d365d2",
        }
        fields = Envelope(TOKEN, APP_ID, AES_KEY).open(query, cdata(Encrypt=self.SEALED).encode())
        assert fields["Content"] == "电梯维保能延长吗"
        assert fields["MsgId"] == "1234567890123456"

    @pytest.mark.parametrize("text", ["", "a", "字" * 1000, "]]><x>&amp;", "a\x00b\x0bc"])
    def test_both_ways(self, text):
        envelope = Envelope(TOKEN, APP_ID, AES_KEY)
        wechat_side = WeChat(httpx.AsyncClient(), aes=True)
        answer = {"ToUserName": "o", "FromUserName": ACCOUNT, "MsgType": "text", "Content": text}
        response = httpx.Response(200, text=envelope.seal(answer, 1_800_000_000))
        assert wechat_side.opened(response) == "".join(c for c in text if c >= " ")

    @pytest.mark.parametrize("pad", [0, 33, 255])
    def test_a_wrong_padding_is_refused(self, pad):
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        envelope = Envelope(TOKEN, APP_ID, AES_KEY)
        worker = Cipher(algorithms.AES(envelope._key), modes.CBC(envelope._key[:16])).encryptor()
        import base64

        sealed = base64.b64encode(worker.update(bytes(31) + bytes([pad])) + worker.finalize()).decode()
        with pytest.raises(HotlineError):
            envelope.decrypt(sealed)


@pytest.mark.parametrize("text", ["", "短", "字" * 3000, ("一行。\n" * 900).strip(), "😀" * 1200])
def test_pieces_lose_nothing_but_the_line_ends_between_them(text):
    found = pieces(text)
    assert all(size(piece) <= MAX_BYTES for piece in found)
    assert "".join(found).replace("\n", "") == text.replace("\n", "")
