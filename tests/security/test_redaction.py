"""What a log line may hold. Each net of `bot.redaction` for itself, then real lines of real loggers in a process."""

import json
import subprocess
import sys
import time

import pytest

from bot import redaction
from bot.redaction import LONGEST, clean, redact
from bot.settings import ROOT

PHONE, IDENTITY, CARD = "13904321187", "11010519491231002X", "6222021234567890128"


@pytest.fixture(autouse=True)
def own(monkeypatch):
    monkeypatch.setenv("HOTLINE_SMS_SECRET", "a-gateways-secret")
    monkeypatch.setenv("HOTLINE_ENGINE_TOKEN", "the-engines-token")
    monkeypatch.setenv("HOTLINE_DATABASE_URL", "postgresql://hotline:pass-of-base@db/hotline")
    monkeypatch.setenv("HOTLINE_REDIS_URL", "redis://[broken")
    monkeypatch.setenv("HOTLINE_PORT", "8000")
    redaction._own_secrets.cache_clear()
    yield
    redaction._own_secrets.cache_clear()


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"call {PHONE} back", PHONE),
        ("１３９０４３２１１８７", "４３２１"),
        (f"id {IDENTITY}", "19491231"),
        (f"card {CARD}", "123456789"),
        ("Authorization: Bearer abcdefghijklmnop", "abcdefgh"),
        ("authorization: basic YWRtaW46YWRtaW4=", "YWRtaW46"),
        ("GET /channels/sms/kannel?key=hunter2&id=1", "hunter2"),
        ("/x?a=1&access_token=hunter2", "hunter2"),
        ("msg_signature=abc &signature=hunter2", "hunter2"),
        ("Cookie: hotline_desk=hunter2-hunter2", "hunter2"),
        ("Set-Cookie: hotline_desk=hunter2; Path=/", "hunter2"),
        ("postgresql+psycopg://hotline:hunter2@127.0.0.1/hotline", "hunter2"),
        ("http://127.0.0.1:5055/webhook/eNcR6X0bQ1ZqXkRrT3vQz9fL", "eNcR6X0b"),
        ("token " + "A1b2_-" * 7 + "x", "A1b2_-A1b2"),
        ("sent a-gateways-secret along", "a-gateways-secret"),
        ("key=the-engines-token", "the-engines-token"),
        ("could not connect with pass-of-base", "pass-of-base"),
        ("line\u2028two\u202ereversed\x1b[31m\x85", "\u202e"),
        ("x\x1b[2J", "\x1b"),
    ],
)
def test_what_is_hidden(text, hidden):
    assert hidden in text
    assert hidden not in clean(text)


@pytest.mark.parametrize(
    "text",
    [
        "no such table: cases", "turn answered in 12.5 ms", "JL-T-261122-00001-6", "8c19d837-6b3d-49b7-b04c-61fcb9d7c90e",
        "2026-11-22T15:04:05+08:00", "HTTP 503", "lead 王敏", "line one\nline two", "https://hotline.example.cn/api/v1",
        "91220101MA0Y2N3T4X", "0123456789abcdef0123456789abcdef", "8000",
    ],
)  # fmt: skip
def test_what_stays_readable(text):
    assert clean(text) == text


def test_what_an_exception_quotes_is_cut():
    assert (
        clean("ValueError: 王小明 住在 Renmin 大街1号 not found", foreign=True)
        == "ValueError: … … Renmin …1… not found"
    )
    assert redact("error", "约不上 王小明 x") == "… … x"
    assert redact("path", "/欧阳建国/x") == "/…/x"
    assert redact("department", "长春市市场监管局") == "长春市市场监管局"
    assert redact("department", "长春市市场监管局", foreign=True) == "…"


def test_fields_of_any_shape():
    class Odd:
        def __repr__(self):
            return f"<Odd 王小明 {PHONE}>"

    given = {
        "phone": int(PHONE), "seconds": 1.25, "ok": True, "none": None, "password": "hunter2", "new_password": "", "token": 5,
        "rows": [{"secret": "x", "error": f"王小明 {PHONE}", 7: PHONE}, (PHONE,), {PHONE}], "odd": Odd(), "raised": KeyError("王小明"),
    }  # fmt: skip
    assert redact("event", given) == {
        "phone": "139****1187", "seconds": 1.25, "ok": True, "none": None, "password": "…", "new_password": "", "token": "…",
        "rows": [{"secret": "…", "error": "… 139****1187", "7": "139****1187"}, ["139****1187"], ["139****1187"]],
        "odd": "<Odd … 139****1187>", "raised": "'…'",
    }  # fmt: skip


def test_nobody_fills_a_disk_or_a_core_with_one_line():
    began = time.monotonic()
    for text in (
        "a" * 1_000_000,
        "1 " * 500_000,
        "?key=" * 200_000,
        "-" * 1_000_000,
        "://" * 300_000,
        "cookie: " * 100_000,
    ):
        assert len(clean(text, foreign=True)) <= 2 * LONGEST
    assert time.monotonic() - began < 20


LINES = """
import asyncio, logging, sys, warnings
import structlog
from pydantic import BaseModel, ValidationError
from bot.logs import configure
configure()
log = structlog.get_logger()

class Form(BaseModel):
    age: int

def fail(name, phone):
    raise RuntimeError(f"{name} {phone} 住南关区人民大街8899号")

for way in range(5):
    try:
        if way == 0: fail("司马青云", "13904321187")
        if way == 1: Form(age="司马青云 13904321187")
        if way == 2: {}["司马青云"]
        if way == 3:
            try: fail("司马青云", "13904321187")
            except RuntimeError as error: raise ValueError("outer 司马青云") from error
        if way == 4: int("司马青云")
    except Exception as error:
        log.exception("failed", error=str(error), who=error, context={"authorization": "Bearer hunter2hunter2"})
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\\n", exc_info=error)
logging.getLogger("uvicorn.access").warning('%s - "%s %s" %d', "1.2.3.4", "GET", "/x?key=hunter2hunter2&q=司马青云", 200)
logging.getLogger("other").warning("a\\nlevel=critical %s", "司马青云")
log.warning("forged\\n{\\"event\\": \\"log_in\\"}", path="/a\\r\\nb")

async def lost():
    asyncio.get_running_loop().call_exception_handler({"message": "lost 司马青云", "exception": RuntimeError("13904321187")})
asyncio.run(lost())
"""


def test_lines_of_every_logger():
    done = subprocess.run([sys.executable, "-c", LINES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(lines) == 14
    for secret in ("司马", "青云", PHONE, "人民大街", "8899号", "hunter2"):
        assert secret not in done.stderr, secret
    # What happened, and where, can still be read.
    assert "RuntimeError" in done.stderr and "in fail" in done.stderr and "139****1187" in done.stderr
    assert {line["level"] for line in lines} <= {"error", "warning"}


def test_every_line_goes_through_it():
    """No module writes to a log past `bot.logs`: no print in what runs, no handler or file of its own."""
    import re

    # On an operator's terminal.
    allowed = {
        "bot/processes.py",
        "bot/widget_build.py",
        "bot/channels/wechat_menu.py",
        "bot/operations/cluster.py",
    }
    for path in (*(ROOT / "bot").rglob("*.py"), *(ROOT / "actions").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(("bot/engine/", "bot/evaluation/", "bot/cli", "bot/widget/")):
            continue
        source = path.read_text("utf-8")
        assert (
            not re.search(
                r"logging\.(basicConfig|FileHandler|StreamHandler)|traceback\.print|PrintLogger", source
            )
            or name == "bot/logs.py"
        ), name
        assert not re.search(r"^\s*print\(", source, re.M) or name in allowed, name
