"""2,000 cases for each inbound endpoint: no 5xx, no stack trace, and a log that names nobody.

One gateway for all cases of a test: what one case leaves behind must not harm the next.
"""

from __future__ import annotations

import asyncio
import json
import string
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from bot.channels.sms_gateways import signature
from bot.conversations.models import Message
from bot.errors import Problem
from tests.channels.wechat_simulator import AES_KEY, APP_ID, TOKEN, WeChat, cdata, encrypted, sha1

CASES = 2000
PHONE, NAME, IDENTITY = "13904321187", "欧阳建国", "220104199001011232"
STORED = {
    "test_the_public_api": 75, "test_sms_by_kannel": 75, "test_sms_by_signed_json": 30,
    "test_wechat_in_plain_mode": 75, "test_wechat_in_safe_mode": 75, "test_wechats_check_of_the_address": 0,
}  # fmt: skip
CODES = {problem.code for problem in Problem}

PERSONAL = st.sampled_from([PHONE, f"我叫{NAME}", f"我的证件{IDENTITY}", f"{NAME}，电话{PHONE}"])
ODD = st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "\ud800",
        "\u202e倒",
        "0",
        "1",
        "99",
        "T",
        "退订",
        "电梯困人了",
        "人工",
        "/restart",
        "😀" * 300,
        "字" * 2001,
        "<xml>",
        "{}",
        "%I",
    ]
)
TEXT = st.text(st.characters(), max_size=80) | ODD | PERSONAL
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
PRINTABLE = st.text(string.ascii_letters + string.digits + "-_+/=%& ", max_size=70)
FUZZ = settings(
    max_examples=CASES, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


def harmless(response):
    """Every answer is one of ours: below 500 and, if an error, one of the table without a trace of the program."""
    assert response.status_code < 500, (response.status_code, response.text)
    assert "Traceback" not in response.text
    assert ".py" not in response.text
    if response.status_code >= 400:
        assert response.json()["error"]["code"] in CODES, response.text


def clean(hotline, logged, test):
    """What was logged names nobody; and the cases were no mere refusals: so many messages were stored."""
    with hotline.readers() as session:
        assert session.scalar(select(func.count()).where(Message.author == "user")) >= STORED[test]
    written = json.dumps(logged, ensure_ascii=False, default=repr)
    for secret in (PHONE, NAME, IDENTITY, "Traceback"):
        assert secret not in written


async def settled(hotline):
    while running := list(hotline.app.state.running):
        await asyncio.wait(running)


@pytest.fixture
def mail(request, make_hotline, logged):
    """A gateway with every door open."""
    hotline = make_hotline(
        sms_gateway="json", sms_secret="key", sms_url="http://127.0.0.1:9/", wechat_token=TOKEN, wechat_app_id=APP_ID,
    )  # fmt: skip
    yield hotline
    clean(hotline, logged, request.node.name)


@pytest.fixture
def kannel(request, make_hotline, logged):
    hotline = make_hotline(sms_gateway="kannel", sms_secret="key", sms_url="http://127.0.0.1:9/")
    yield hotline
    clean(hotline, logged, request.node.name)


@pytest.fixture
def sealed(request, make_hotline, logged):
    hotline = make_hotline(wechat_token=TOKEN, wechat_app_id=APP_ID, wechat_aes_key=AES_KEY)
    yield hotline
    clean(hotline, logged, request.node.name)


IDS = st.uuids().map(str)
SENDERS = st.sampled_from([PHONE, f"+86{PHONE}", " 8613904321187", "10690000", ""])
SAID = st.fixed_dictionaries({"client_message_id": IDS, "text": TEXT})
BODY = st.one_of(
    SAID,
    SAID,
    SAID,
    st.fixed_dictionaries(
        {"client_message_id": TEXT | st.uuids().map(str)},
        optional={"text": TEXT | JSON, "choice": TEXT | JSON},
    ),
    JSON,
)


@pytest.mark.timeout(600)
@FUZZ
@given(data=st.data())
async def test_the_public_api(mail, data):
    call = data.draw(st.sampled_from(["send", "send", "send", "send", "open", "raw", "read"]))
    talk = await mail.open()
    kind = {"content-type": "application/json"}
    if call == "open":
        response = await mail.http.post(
            "/api/v1/conversations", content=json.dumps(data.draw(JSON)), headers=kind
        )
    elif call == "send":
        content = json.dumps(data.draw(BODY))
        response = await mail.http.post(f"{talk.path}/messages", content=content, headers=talk.headers | kind)
    elif call == "raw":
        content = data.draw(st.binary(max_size=200))
        kind = {
            "content-type": data.draw(
                st.sampled_from(["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
            )
        }
        response = await mail.http.post(f"{talk.path}/messages", content=content, headers=talk.headers | kind)
    else:
        place = data.draw(st.sampled_from([talk.id, quote(data.draw(st.text(max_size=40)), safe="")]))
        after = data.draw(st.integers() | TEXT)
        response = await mail.http.get(
            f"/api/v1/conversations/{place}/messages",
            params={"after": after if isinstance(after, int) else after.encode("utf-8", "replace")},
            headers=talk.headers,
        )
    harmless(response)


@pytest.mark.timeout(600)
@FUZZ
@given(
    body=st.binary(max_size=300) | TEXT.map(lambda t: t.encode("utf-8", "replace")),
    id=st.one_of(IDS, IDS, IDS, PRINTABLE),
    sender=st.one_of(SENDERS, SENDERS, SENDERS, PRINTABLE),
    key=st.sampled_from(["key"] * 9 + ["", "wrong"]),
    report=st.sampled_from([False, False, False, True]),
    status=st.sampled_from(["1", "2", "8", "16", "", "-1"]) | PRINTABLE,
)
async def test_sms_by_kannel(kannel, body, id, sender, key, report, status):
    path = "/channels/sms/kannel" + ("/report" if report else "")
    query = {"key": key, "id": id, "from": sender, "to": "12315", "status": status}
    harmless(await kannel.http.post(path, params=query, content=body))
    await settled(kannel)


SMS = st.fixed_dictionaries({"id": IDS, "from": st.just(PHONE), "text": TEXT})
STRANGE = JSON | st.fixed_dictionaries(
    {"id": PRINTABLE | JSON, "from": PRINTABLE | JSON, "text": TEXT | JSON},
    optional={"status": st.sampled_from(["delivered", "failed", "x"]) | JSON},
)


@pytest.mark.timeout(600)
@FUZZ
@given(
    body=st.one_of(SMS, SMS, SMS, STRANGE).map(json.dumps).map(str.encode) | st.binary(max_size=100),
    nonce=st.one_of(IDS, IDS, IDS, PRINTABLE),
    age=st.sampled_from([0] * 9 + [10**6]),
    report=st.sampled_from([False, False, False, True]),
)  # fmt: skip
async def test_sms_by_signed_json(mail, body, nonce, age, report):
    gateway = mail.app.state.sms
    timestamp = str(int(gateway.clock()) - age)
    headers = {
        "X-Hotline-Timestamp": timestamp, "X-Hotline-Nonce": nonce,
        "X-Hotline-Signature": signature("key", timestamp, nonce, body),
    }  # fmt: skip
    path = "/channels/sms/json" + ("/report" if report else "")
    harmless(await mail.http.post(path, content=body, headers=headers))
    await settled(mail)


KINDS = st.sampled_from(["text"] * 4 + ["voice", "image", "event", "link", "", "shortvideo"])
XML = (
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60)
    | PERSONAL
    | st.sampled_from(["1", "0", "退订", "电梯困人了", "]]>", "&#0;", "&x;"])
)
EVENTS = st.sampled_from(["subscribe", "unsubscribe", "CLICK", "VIEW", ""])
PLAUSIBLE = st.fixed_dictionaries(
    {
        "FromUserName": st.sampled_from(["oA", "oB"]), "ToUserName": st.just("gh_1"), "MsgType": KINDS,
        "MsgId": st.integers(1, 10**12).map(str), "CreateTime": st.integers(0, 2**31).map(str), "Content": XML,
    },
    optional={"Recognition": XML, "Event": EVENTS, "EventKey": st.sampled_from(["say:我要投诉", "say:", "x"])},
)  # fmt: skip
WILD = st.fixed_dictionaries(
    {"FromUserName": st.sampled_from(["", "o" * 65]) | XML, "ToUserName": XML, "MsgType": KINDS | XML},
    optional={
        "MsgId": st.integers(-5, 10**12).map(str) | XML, "Content": XML, "Recognition": XML, "CreateTime": XML,
        "Event": EVENTS | XML, "EventKey": XML,
    },
)  # fmt: skip
FIELDS = st.one_of(PLAUSIBLE, PLAUSIBLE, PLAUSIBLE, WILD)


@pytest.mark.timeout(600)
@FUZZ
@given(
    body=FIELDS.map(lambda f: cdata(**f).encode("utf-8", "replace")) | st.binary(max_size=200),
    signed=st.sampled_from([True] * 9 + [False]),
    query=st.dictionaries(PRINTABLE, PRINTABLE, max_size=3),
)
async def test_wechat_in_plain_mode(mail, body, signed, query):
    wechat = WeChat(mail.http)
    query = query | (wechat.query() if signed else {})
    harmless(await mail.http.post("/channels/wechat", params=query, content=body))
    await settled(mail)


@pytest.mark.timeout(600)
@FUZZ
@given(
    fields=FIELDS,
    how=st.sampled_from(["sealed"] * 6 + ["raw", "cut", "foreign"]),
    raw=st.binary(max_size=200),
)
async def test_wechat_in_safe_mode(sealed, fields, how, raw):
    wechat = WeChat(sealed.http, aes=True)
    text = encrypted(cdata(**fields), "wx_foreign" if how == "foreign" else APP_ID)
    if how == "cut":
        text = text[: len(raw)]
    body = raw if how == "raw" else cdata(ToUserName="gh", Encrypt=text).encode()
    query = wechat.query(text) | {"msg_signature": sha1(TOKEN, "1800000000", "n0nce", text)}
    harmless(await sealed.http.post("/channels/wechat", params=query, content=body))
    await settled(sealed)


@pytest.mark.timeout(600)
@FUZZ
@given(
    query=st.dictionaries(
        st.sampled_from(["signature", "timestamp", "nonce", "echostr"]), PRINTABLE, max_size=4
    )
)
async def test_wechats_check_of_the_address(mail, query):
    harmless(await mail.http.get("/channels/wechat", params=query))
