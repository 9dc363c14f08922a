import asyncio
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bot.outbox.departments import (
    LOG_FILE,
    DepartmentAdapter,
    DepartmentsError,
    department_adapters,
    load_departments,
    signature,
)
from bot.outbox.models import Delivery
from bot.outbox.worker import Refused, Retry
from bot.settings import Settings

BODY = {
    "notice": "dispatch",
    "notice_label": "派单",
    "number": "JL-T-261122-00001-6",
    "type_label": "投诉",
    "department": "计量",
    "part": "主办",
    "opinion": "请核实",
    "due_on": "2026-11-30",
    "registered_at": "2026-11-22T15:04:00+08:00",
    "facts": {"事情经过": "秤不准，店家电话13804321188"},
    "contact": {"姓名": "韩梅", "电话": "13904321187"},
    "clocks": [{"name": "受理", "due_on": "2026-12-01", "basis": "第四十六条", "verified": False}],
}


def delivery(department="计量", **payload):
    return Delivery(
        id=1, delivery_id="d-1", kind="department", target={"department": department}, payload=BODY | payload
    )


class Webhook:
    """A department's receiver: what it got, and what it answers."""

    def __init__(self):
        self.calls, self.answer = [], (200, {}, b"{}")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.calls.append((dict(self.headers), body))
                status, headers, answer = outer.answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/cases"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def webhook():
    receiver = Webhook()
    yield receiver
    receiver.close()


class Mailbox:
    """A mail server that speaks just enough SMTP; `refuse` is the code for RCPT."""

    def __init__(self, refuse=None):
        self.letters = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.say("220 here")
                while line := self.rfile.readline().decode().strip():
                    verb = line[:4].upper()
                    if verb == "DATA":
                        self.say("354 go on")
                        letter = []
                        while (part := self.rfile.readline()) != b".\r\n":
                            letter.append(part)
                        outer.letters.append(b"".join(letter))
                        self.say("250 taken")
                    elif verb == "RCPT" and refuse:
                        self.say(f"{refuse} no")
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 fine")

            def say(self, text):
                self.wfile.write(f"{text}\r\n".encode())

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_address[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def configure(tmp_path, clock):
    """Writes the file and gives the adapter."""

    def write(text):
        (tmp_path / "secret").write_text("s3cret\n", "utf-8")
        (tmp_path / "departments.yml").write_text(text, "utf-8")
        return DepartmentAdapter(tmp_path / "departments.yml", tmp_path, now=clock, timeout=1.0)

    return write


def hook(webhook):
    return f"departments:\n  计量: {{url: '{webhook.url}', secret_file: secret}}\n"


async def test_a_webhook_gets_a_signed_body_with_its_delivery_id(configure, webhook, clock):
    webhook.answer = (202, {}, b'{"reference": "dept-7"}')
    assert await configure(hook(webhook)).send(delivery()) == "dept-7"
    ((headers, body),) = webhook.calls
    assert json.loads(body) == BODY
    assert headers["X-Hotline-Delivery"] == "d-1"
    assert headers["X-Hotline-Timestamp"] == str(int(clock().timestamp()))
    # As the receiver computes it, with nothing of ours.
    import hashlib
    import hmac

    signed = f"{headers['X-Hotline-Timestamp']}.".encode() + body
    assert headers["X-Hotline-Signature"] == hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert signature("s3cret", "1", body) != headers["X-Hotline-Signature"]


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [
        ((503, {"Retry-After": "120"}, b""), Retry, 120.0),
        ((500, {}, b""), Retry, None),
        ((429, {"Retry-After": "soon"}, b""), Retry, None),
        ((401, {}, b""), Retry, None),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), Retry, None),
        ((422, {}, b"13904321187"), Refused, None),
        ((413, {}, b""), Refused, None),
    ],
)
async def test_what_a_webhook_answers_decides(configure, webhook, answer, kind, after):
    webhook.answer = answer
    with pytest.raises(kind) as raised:
        await configure(hook(webhook)).send(delivery())
    assert "1390432" not in str(raised.value)
    if kind is Retry:
        assert raised.value.after == after


@pytest.mark.parametrize("answer", [b"", b"ok", b"[1]", b'{"reference": 7}', b'{"reference": ""}'])
async def test_an_answer_without_a_reference_is_fine(configure, webhook, answer):
    webhook.answer = (200, {}, answer)
    assert await configure(hook(webhook)).send(delivery()) is None


async def test_a_webhook_that_is_not_there_is_tried_again(configure, webhook):
    adapter = configure(hook(webhook))
    webhook.close()
    with pytest.raises(Retry, match="no answer"):
        await adapter.send(delivery())


async def test_a_missing_secret_waits_for_somebody_to_put_it_there(configure, webhook, monkeypatch):
    adapter = configure(f"departments:\n  计量: {{url: '{webhook.url}', secret_env: NO_SUCH_SECRET}}\n")
    with pytest.raises(Retry, match="NO_SUCH_SECRET"):
        await adapter.send(delivery())
    monkeypatch.setenv("NO_SUCH_SECRET", "x")
    await adapter.send(delivery())
    assert len(webhook.calls) == 1


async def test_a_mended_file_counts_at_once(configure, tmp_path, webhook):
    adapter = configure("departments: {计量: {url: 'ftp://x', secret_file: secret}}")
    with pytest.raises(Retry, match="https"):
        await adapter.send(delivery())
    (tmp_path / "departments.yml").write_text(hook(webhook), "utf-8")
    await adapter.send(delivery())
    assert len(webhook.calls) == 1


def smtp(box):
    return (
        f"smtp: {{host: 127.0.0.1, port: {box.port}, security: none, sender: hotline@example.org}}\n"
        "departments:\n  计量: {mailbox: metering@example.org}\n"
    )


async def test_a_mailbox_gets_a_letter_without_names_in_its_subject(configure):
    import email
    from email.policy import default

    box = Mailbox()
    try:
        assert await configure(smtp(box)).send(delivery()) == "<d-1@hotline.invalid>"
    finally:
        box.close()
    (letter,) = box.letters
    message = email.message_from_bytes(letter, policy=default)
    assert message["Subject"] == "【12315派单】JL-T-261122-00001-6 投诉（主办）"
    assert (message["To"], message["X-Hotline-Delivery"]) == ("metering@example.org", "d-1")
    text = message.get_content()
    assert "秤不准" in text and "电话：13904321187" in text and "请于2026-11-30前反馈" in text
    assert "依据未经核对" in text and "不要自行移送" in text


@pytest.mark.parametrize(("code", "kind"), [(550, Refused), (450, Retry)])
async def test_a_refused_mailbox_is_dead_a_busy_one_waits(configure, code, kind):
    box = Mailbox(refuse=code)
    try:
        with pytest.raises(kind, match=str(code)):
            await configure(smtp(box)).send(delivery())
    finally:
        box.close()


async def test_a_mail_server_that_is_not_there_is_tried_again(configure):
    box = Mailbox()
    box.close()
    with pytest.raises(Retry, match="mail server"):
        await configure(smtp(box)).send(delivery())


async def test_without_a_file_it_is_written_down_without_the_citizen(configure, tmp_path, capsys):
    adapter = configure("")
    await adapter.send(delivery())
    await asyncio.gather(*(adapter.send(delivery(part="协办")) for _ in range(3)))
    path = tmp_path / LOG_FILE
    written = path.read_text("utf-8")
    assert path.stat().st_mode & 0o077 == 0
    assert len(written.splitlines()) == 4
    assert json.loads(written.splitlines()[0])["contact"] == {"姓名": "***", "电话": "***"}
    assert "秤不准" in written and "138****1188" in written
    assert "韩梅" not in written and "13904321187" not in written
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("departments: {计量: {}}", "either url or mailbox"),
        ("departments: {计量: {url: 'https://x', mailbox: a@b}}", "either url or mailbox"),
        ("departments: {计量: {url: 'https://x'}}", "secret"),
        ("departments: {计量: {url: 'http://example.org', secret_env: X}}", "https"),
        ("departments: {计量: {mailbox: nobody}}", "mailbox"),
        ("departments: {计量: {mailbox: 'a@b'}}", "needs smtp"),
        ("smtp: {host: mail.example.org, security: none, sender: a@b}", "only towards this machine"),
        ("smtp: {host: 127.0.0.1, port: 0, sender: a@b}", "port"),
        ("nonsense: 1", "nonsense"),
        ("departments: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named_and_stops_the_start(tmp_path, deployment, text, message):
    home = Settings().home_dir
    (home / "departments.yml").write_text(text, "utf-8")
    with pytest.raises(DepartmentsError, match=message):
        load_departments(home / "departments.yml")
    with pytest.raises(DepartmentsError):
        department_adapters(Settings())


def test_no_file_is_no_mistake(deployment):
    assert set(department_adapters(Settings())) == {"department"}
