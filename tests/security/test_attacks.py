"""The table of attacks (`attacks.yml`) at every door: stored as it was said, answered as any text, shown as text.

What the real bot understands of them is `tests/security/real/test_hostile.py`'s.
"""

import csv
import io
import json
import re
import time
from functools import cache
from pathlib import Path

import pytest
import yaml
from openpyxl import load_workbook

from bot.cases import store as cases
from bot.cases.models import CaseType
from bot.channels.sms_gateways import signature
from bot.conversations import log
from bot.conversations.models import Message
from bot.desk.pages.words import TEMPLATES, render
from bot.settings import ROOT
from tests.channels.wechat_simulator import TOKEN, cdata, encrypted, sha1
from tests.security.conftest import JSON, SECRET, WECHAT

NUMBER = "JL-T-261122-00001-6"
PHONE = "13900001111"


@cache
def table():
    """The rows of both lists by id, with what they stand for put in."""
    loaded = yaml.safe_load((Path(__file__).parent / "attacks.yml").read_text("utf-8"))
    for row in loaded["texts"]:
        text = row["text"].replace("SEALED", NUMBER).replace("DIGITS", "261122000016")
        row["text"] = text * row.get("repeat", 1)
        row["stored"] = row.get("stored") or row["text"].strip()
    for row in loaded["calls"]:
        row["body"] = row["body"] * row.get("repeat", 1)
    return loaded


def rows(what, channel=None):
    return [pytest.param(row, id=row["id"]) for row in table()[what] if channel in (None, row.get("channel"))]


TEXTS = rows("texts")
# What XML 1.0 cannot carry cannot come by WeChat.
IN_XML = [row for row in TEXTS if row.values[0].get("xml", True)]


def test_the_table_is_a_table():
    ids = [row["id"] for part in table().values() for row in part]
    assert len(ids) == len(set(ids))
    assert len(TEXTS) >= 60 and len(table()["calls"]) >= 30
    assert {row["what"] for row in table()["texts"]} >= {
        "prompt", "command", "sql", "html", "bidi", "header", "template", "format", "path", "nul", "long", "receipt",
        "formula", "log",
    }  # fmt: skip


def said(hotline):
    with hotline.readers() as session:
        return [
            m.body
            for m in session.query(Message).filter_by(author="user").order_by(Message.created_at, Message.seq)
        ]


def unlogged(row, logged):
    """The log of the process says nothing of what was said."""
    written = json.dumps(logged, ensure_ascii=False, default=repr)
    assert PHONE not in written
    if len(row["stored"]) > 8:
        assert row["stored"][:200] not in written


# -- texts at every door ----------------------------------------------------------------------------


@pytest.mark.parametrize("row", TEXTS)
async def test_the_public_api(hotline, row, logged):
    talk = await hotline.open()
    response = await talk.send(row["text"])
    if row.get("widget", 200) != 200:
        assert response.status_code == row["widget"]
        assert said(hotline) == []
    else:
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-content-type-options"] == "nosniff"
        [reply] = response.json()["replies"]
        # To somebody who wrote no Chinese a line in English stands before the answer.
        assert reply["text"].endswith(f"收到：{row['stored']}")
        own = (await talk.log())[1]
        assert (own["author"], own["text"]) == ("user", row["stored"])
        assert hotline.engine.texts == [row["stored"]]
    assert (await talk.say("你好"))[0]["text"] == "收到：你好"
    unlogged(row, logged)


@pytest.mark.parametrize("row", TEXTS)
async def test_sms_by_kannel(sms, row, logged):
    stored = row["stored"][: row.get("cut", 2000)]
    sent = await sms.say(row["text"])
    assert said(sms.hotline) == [stored]
    # To the phone that wrote, under our signature, whatever stands in the text.
    assert {outgoing.to for outgoing in sms.out} == {"13800138000"}
    assert sent and all(text.startswith("【吉林12315】") for text in sent)
    assert (await sms.say("你好")) == ["【吉林12315】收到：你好"]
    unlogged(row, logged)


def signed(body, age=0, secret=SECRET):
    timestamp, nonce = str(int(time.time() - age)), f"nonce-{time.monotonic_ns()}"
    return {
        "X-Hotline-Timestamp": timestamp,
        "X-Hotline-Nonce": nonce,
        "X-Hotline-Signature": signature(secret, timestamp, nonce, body),
        "Content-Type": "application/json",
    }


@pytest.mark.parametrize("row", TEXTS)
async def test_sms_by_signed_json(make_with, row, logged):
    hotline = make_with(**JSON)
    for number, text in enumerate((row["text"], "你好")):
        body = json.dumps({"id": f"sms-{number}", "from": "13800138000", "text": text}).encode()
        response = await hotline.http.post("/channels/sms/json", content=body, headers=signed(body))
        assert (response.status_code, response.content) == (200, b"")
        while hotline.app.state.running:
            for task in list(hotline.app.state.running):
                await task
    assert said(hotline) == [row["stored"][: row.get("cut", 2000)], "你好"]
    unlogged(row, logged)


@pytest.mark.parametrize("row", IN_XML)
async def test_wechat(wechat, row, logged):
    stored = row["stored"][: row.get("cut", 2000)]
    answer = await wechat.say(row["text"])
    assert said(wechat.hotline) == [stored]
    if len(stored) < 100:
        assert answer.endswith(f"收到：{stored}")
    else:
        assert answer or "".join(await wechat.later()).count("收到：") == 1
    assert (await wechat.say("你好")).endswith("收到：你好")
    unlogged(row, logged)


# -- calls that are no message -----------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("calls", channel="widget"))
async def test_a_call_of_the_public_api(hotline, row):
    talk = await hotline.open()
    headers = talk.headers | {"Content-Type": "application/json"} | row.get("headers", {})
    response = await hotline.http.post(f"{talk.path}/messages", content=row["body"].encode(), headers=headers)
    await refused(response, row, hotline)
    assert (await talk.say("你好"))[0]["text"] == "收到：你好"


@pytest.mark.parametrize("row", rows("calls", channel="wechat"))
@pytest.mark.parametrize("safe", [False, True], ids=["plain", "aes"])
async def test_a_call_of_wechat(make_with, row, safe):
    from tests.channels.wechat_simulator import AES_KEY

    hotline = make_with(**WECHAT, wechat_aes_key=AES_KEY if safe else "")
    sealed = encrypted(row["body"]) if safe else row["body"]
    query = {"timestamp": "1800000000", "nonce": "n0nce", "signature": sha1(TOKEN, "1800000000", "n0nce")}
    if safe:
        query["msg_signature"] = sha1(TOKEN, "1800000000", "n0nce", sealed)
    query |= row.get("query", {})
    if safe and "signature" in row.get("query", {}):
        query["msg_signature"] = "0" * 40
    content = cdata(Encrypt=sealed) if safe else sealed
    began = time.monotonic()
    response = await hotline.http.post("/channels/wechat", params=query, content=content.encode())
    await refused(response, row, hotline)
    assert time.monotonic() - began < 20  # An entity that grows would take for ever.


@pytest.mark.parametrize("row", rows("calls", channel="kannel"))
async def test_a_call_of_kannel(sms, row):
    query = {"key": "key", "id": "id-1", "from": "13800138000"} | row.get("query", {})
    response = await sms.hotline.http.post("/channels/sms/kannel", params=query, content=row["body"].encode())
    await refused(response, row, sms.hotline)
    assert sms.out == []


@pytest.mark.parametrize("row", rows("calls", channel="json"))
async def test_a_call_of_signed_json(make_with, row):
    hotline = make_with(**JSON)
    body = row["body"].encode()
    headers = signed(body, row.get("age", 0), "another-secret" if row.get("sign") == "other" else SECRET)
    if row.get("sign") == "":
        headers = {"Content-Type": "application/json"}
    await refused(await hotline.http.post("/channels/sms/json", content=body, headers=headers), row, hotline)


async def refused(response, row, hotline):
    assert response.status_code == row["status"], response.text
    assert set(response.json()["error"]) >= {"code", "message"}
    for trace in ("Traceback", ".py", "etc/passwd", "root:"):
        assert trace not in response.text
    assert said(hotline) == []


# -- staff ------------------------------------------------------------------------------------------


def lodged(desk, facts):
    """A case with these facts; its number."""
    now = desk.clock()
    with desk.sessions.begin() as session:
        conversation, _ = log.open_conversation(session, "widget", now)
        draft = cases.open_draft(session, conversation.id, now=now, type=CaseType.COMPLAINT)
        fields = {
            "facts": facts,
            "respondent": facts[:200],
            "request": facts[:200],
            "phone": PHONE,
            "name": "欧阳建国",
        }
        [case] = cases.submit(
            session, draft, parts=[cases.Part(CaseType.COMPLAINT, fields)], message_id=f"m-{conversation.id}",
            channel="widget", now=now,
        )  # fmt: skip
        return case.number


@pytest.fixture
def hostile(desk):
    """A desk with a case for each row, its facts the row's text."""
    desk.numbers = {row["id"]: lodged(desk, row["stored"][:2000]) for row in table()["texts"]}
    return desk


ACTIVE = re.compile(r"^[\s\x00-\x1f]*[=+\-@＝＋－＠|%]")


async def test_in_a_spreadsheet_nothing_is_a_formula(hostile):
    lead = hostile.client(hostile.lead)
    sheet = (await lead.get("/api/v1/cases/export.csv")).content.decode("utf-8-sig")
    lines = list(csv.reader(io.StringIO(sheet)))
    assert len(lines) == len(TEXTS) + 1
    assert all(not ACTIVE.match(cell) for line in lines for cell in line)
    assert any("HYPERLINK" in cell for line in lines for cell in line)
    book = load_workbook(io.BytesIO((await lead.get("/api/v1/cases/export.xlsx")).content))
    cells = [cell for line in book.active.iter_rows() for cell in line if cell.value is not None]
    assert len(cells) > len(TEXTS) * 10
    assert {cell.data_type for cell in cells} == {"s"}
    assert all(not ACTIVE.match(cell.value) and cell.hyperlink is None for cell in cells)
    assert PHONE not in sheet and PHONE not in "".join(cell.value for cell in cells)


async def test_every_text_can_be_read_searched_and_printed(hostile):
    agent = hostile.client(hostile.agent)
    for row in table()["texts"]:
        number = hostile.numbers[row["id"]]
        shown = await agent.get(f"/api/v1/cases/{number}")
        assert shown.status_code == 200, row["id"]
        printed = await agent.get(f"/api/v1/cases/{number}.pdf")
        assert printed.status_code == 200 and printed.content.startswith(b"%PDF-"), row["id"]
        assert b"/JavaScript" not in printed.content and b"/URI" not in printed.content
        for query in ({"q": row["text"][:200]}, {"status": row["text"][:50]}, {"after": row["text"][:50]}):
            found = await agent.get("/api/v1/cases", params=query)
            assert found.status_code in (200, 422), (row["id"], query, found.text)
    assert len((await agent.get("/api/v1/cases")).json()["cases"]) > 0


@pytest.mark.parametrize("row", TEXTS)
async def test_the_copilot_is_told_no_orders(desk, row):
    sealed = lodged(desk, "口罩一撕就破")
    response = await desk.client(desk.agent).post("/api/v1/copilot/suggest", json={"text": row["text"]})
    assert response.status_code in (200, 413, 422), response.text
    assert PHONE not in response.text.replace(row["text"], "") or PHONE in row["text"]
    assert "欧阳建国" not in response.text or "欧阳建国" in row["text"]
    # It suggests; nothing was changed.
    shown = (await desk.client(desk.lead).get(f"/api/v1/cases/{sealed}")).json()
    assert shown["status"] == "已登记"


@pytest.mark.parametrize("row", TEXTS)
async def test_nobody_logs_in_with_it(desk, row):
    for fields in (
        {"username": row["text"], "password": "x"},
        {"username": "admin", "password": row["text"], "code": row["text"]},
    ):
        response = await desk.client().post("/login", json=fields)
        assert response.status_code in (401, 413, 422), response.text
        assert "token" not in response.json()
    client = desk.client(Cookie="hotline_desk=" + re.sub(r"[^!-~]|[;,\"]", "", row["text"])[:120])
    assert (await client.get("/api/v1/me")).status_code == 401


def test_the_desks_pages_show_text(hostile):
    """What stands in a page came through a template that escapes; nothing else writes markup from data."""
    now = hostile.clock()
    for row in table()["texts"]:
        text = row["stored"]
        message = {
            "author": "user", "text": text, "created_at": now, "name": text, "answer": None, "attachments": [],
            "choices": [{"label": text}],
        }  # fmt: skip
        page = render("message", m=message, reading=None, now=now)
        inside = page.split('<div class="bubble">')[1].split("</div>")[0]
        assert "<" not in inside and '"' not in inside
        assert re.sub(r"\s", "", inside) or not text.strip()


def test_no_template_lets_markup_through():
    assert TEMPLATES.autoescape is True
    for path in (ROOT / "bot" / "desk").rglob("*.html"):
        text = path.read_text("utf-8")
        assert not re.search(r"\|\s*safe|autoescape\s+false|Markup", text), path
        # A value inside a script or an unquoted attribute would not be saved by escaping.
        assert not re.search(r"<script[^>]*>[^<]*{{|=\s*{{", text), path
    for path in (ROOT / "bot" / "desk").rglob("*.py"):
        source = path.read_text("utf-8")
        assert not re.search(r"ui\.markdown|Markup\(|add_body_html|add_head_html\(f", source), path
        for made in re.findall(r"(?:ui\.html|set_content)\(\s*(f?[\"'])", source):
            assert not made.startswith("f"), path


def test_no_component_of_the_widget_takes_markup():
    for path in (ROOT / "bot" / "widget" / "src").rglob("*.ts*"):
        assert not re.search(
            r"dangerouslySetInnerHTML|innerHTML|insertAdjacentHTML|document\.write|eval\(|new Function",
            path.read_text("utf-8"),
        ), path
