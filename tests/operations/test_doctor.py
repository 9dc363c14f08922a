"""The doctor finds what was broken on purpose, and nothing in what is well."""

import base64
import http.server
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import uuid
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import update

from bot import audit
from bot.conversations import log
from bot.conversations.models import Conversation
from bot.conversations.switches import set_switch
from bot.crypto import DataKey, set_data_key
from bot.operations import checks_database, checks_setup, records
from bot.operations.doctor import BROKEN, LOOK, OK, examine
from bot.outbox.models import Delivery
from bot.settings import ROOT, Settings
from bot.staff import accounts, roster
from bot.staff.models import Role
from bot.storage import make_engine, make_sessions, upgrade
from tests.channels.test_limits_redis import server  # noqa: F401
from tests.desk.conftest import cheap_hashes  # noqa: F401

TOKEN = "t" * 32


@pytest.fixture(autouse=True)
def key(deployment):
    """The key of the tests in the home, as a deployment has it."""
    deployment.mkdir(exist_ok=True)
    path = deployment / "data.key"
    path.write_bytes(base64.b64encode(bytes(range(32))))
    path.chmod(0o600)
    return path


def found(hotline, config=None, later=timedelta(0)):
    return examine(config or hotline.config, hotline.clock() + later)


def said(hotline, config=None, later=timedelta(0)):
    every = found(hotline, config, later)
    return {(f.level, f.about) for f in every}, "\n".join(f.says for f in every)


def about(findings, subject):
    """The levels of one subject."""
    return [f.level for f in findings if f.about == subject]


# -- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "level", "says"),
    [
        ({"debug": True}, LOOK, "HOTLINE_DEBUG"),
        ({"debug": True, "behind_proxy": True}, BROKEN, "HOTLINE_DEBUG"),
        ({"debug": True, "host": "0.0.0.0"}, BROKEN, "HOTLINE_DEBUG"),
        ({"rate_limits": "off"}, LOOK, "限流"),
        ({"rate_limits": "off", "host": "0.0.0.0"}, BROKEN, "限流"),
        ({"host": "0.0.0.0"}, BROKEN, "没有代理"),
        ({"desk_host": "0.0.0.0"}, BROKEN, "值班台直接监听"),
        ({"behind_proxy": True}, BROKEN, "没有限定 HTTPS"),
        ({}, LOOK, "动态验证码"),
    ],
)
def test_settings_that_should_not_meet_the_public(given, level, says):
    assert any(f.level == level and says in f.says for f in checks_setup.settings_of(Settings(**given)))


def test_settings_that_may_meet_the_public():
    config = Settings(behind_proxy=True, desk_cookie_secure=True, desk_totp="required")
    assert list(checks_setup.settings_of(config)) == []


URL = f"http://127.0.0.1:5055/webhook/{TOKEN}"


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        ({}, [OK]),
        ({"ENGINE_TOKEN": TOKEN, "ACTIONS_TOKEN": TOKEN, "ACTIONS_URL": URL}, [OK]),
        ({"ENGINE_TOKEN": TOKEN}, [BROKEN, BROKEN]),
        ({"ENGINE_TOKEN": TOKEN, "ACTIONS_TOKEN": "other" * 6, "ACTIONS_URL": URL}, [BROKEN]),
        ({"ENGINE_TOKEN": "short", "ACTIONS_TOKEN": TOKEN, "ACTIONS_URL": URL}, [BROKEN]),
    ],
)
def test_the_tokens_of_engine_and_gateway(monkeypatch, given, levels):
    for name, value in given.items():
        monkeypatch.setenv(f"HOTLINE_{name}", value)
    findings = list(checks_setup.tokens(Settings()))
    assert [f.level for f in findings] == levels
    assert TOKEN not in "".join(f.says + f.do for f in findings)


def test_the_key_and_its_mode(deployment, key):
    assert about(checks_setup.key(Settings()), "密钥") == [OK]
    key.chmod(0o644)
    assert about(checks_setup.key(Settings()), "密钥") == [BROKEN]
    key.chmod(0o600)
    key.write_text("no key")
    assert about(checks_setup.key(Settings()), "密钥") == [BROKEN]
    key.unlink()
    assert about(checks_setup.key(Settings()), "密钥") == [LOOK]
    assert not key.exists()  # Looking makes none.
    as_text = base64.b64encode(bytes(32)).decode()
    (in_environment,) = checks_setup.key(Settings(key=as_text))
    assert in_environment.level == LOOK and as_text not in str(in_environment)


async def test_a_database_whose_key_is_gone(hotline, key):
    key.unlink()
    set_data_key(None)
    assert (BROKEN, "密钥") in said(hotline)[0]
    assert not key.exists()


async def test_a_database_of_another_key(hotline, key):
    with hotline.sessions.begin() as session:
        staff = accounts.add_staff(
            session, "wang", "王敏", Role.ADMIN, "Mei-Hua 2026 xue", now=hotline.clock()
        )
        accounts.set_totp(session, staff, accounts.new_totp(staff)[0], now=hotline.clock(), by="system")
        roster.assign(
            session, *roster.period_at(hotline.clock()), "主班", staff, by=staff, now=hotline.clock()
        )
    set_data_key(DataKey(bytes(32)))
    findings = found(hotline)
    assert BROKEN in about(findings, "密钥") and about(findings, "审计") == [BROKEN]


@pytest.mark.parametrize(("free", "level"), [(1 << 29, BROKEN), (2 << 30, LOOK), (9 << 30, OK)])
def test_room_on_the_disk(monkeypatch, free, level):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert about(checks_setup.disk(Settings()), "磁盘") == [level]


def test_the_model(tmp_path):
    path = tmp_path / "own.tar.gz"
    assert about(checks_setup.model(Settings(model=path)), "模型") == [BROKEN]
    path.write_bytes(b"x")
    assert about(checks_setup.model(Settings(model=path)), "模型") == [OK]
    assert about(checks_setup.model(Settings(model=tmp_path)), "模型") == [LOOK]


KANNEL = {
    "sms_gateway": "kannel",
    "sms_url": "http://k",
    "sms_user": "u",
    "sms_password": "p",
    "sms_secret": "s",
}


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        ({}, []),
        (KANNEL, [OK]),
        (KANNEL | {"sms_password": ""}, [BROKEN]),
        ({"sms_gateway": "json", "sms_url": "http://k"}, [BROKEN]),
        ({"sms_gateway": "json", "sms_url": "http://k", "sms_secret": "s"}, [OK]),
        ({"sms_gateway": "console"}, [LOOK]),
    ],
)
def test_the_settings_of_sms_belong_together(given, levels):
    assert about(checks_setup.sms(Settings(**given)), "短信") == levels


WECHAT = {"wechat_token": "t", "wechat_app_id": "a", "wechat_app_secret": "s", "wechat_aes_key": "k" * 43}


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        ({}, []),
        (WECHAT, [OK]),
        (WECHAT | {"wechat_app_secret": ""}, [BROKEN]),
        (WECHAT | {"wechat_aes_key": ""}, [LOOK]),
    ],
)
def test_the_settings_of_wechat_belong_together(given, levels):
    assert about(checks_setup.wechat(Settings(**given)), "微信") == levels


def test_the_ways_to_departments(deployment):
    path = deployment / "departments.yml"
    assert about(checks_setup.departments(Settings()), "派单") == [LOOK]
    path.write_text("departments: [", "utf-8")
    assert about(checks_setup.departments(Settings()), "派单") == [BROKEN]
    smtp = (
        "smtp: {host: mail.test, port: 465, security: tls, sender: a@b.test, username: u, password_file: f}\n"
    )
    path.write_text(smtp + "departments: {计量: {mailbox: m@b.test}}\n", "utf-8")
    (deployment / "f").write_text("secret")
    (deployment / "f").chmod(0o600)
    assert about(checks_setup.departments(Settings()), "派单") == [OK]


@pytest.mark.parametrize(("hours", "level"), [(None, LOOK), (1, OK), (25, OK), (27, LOOK), (24 * 8, BROKEN)])
def test_the_age_of_the_last_back_up(deployment, clock, hours, level):
    if hours is not None:
        records.note(deployment, records.BACKUP, clock() - timedelta(hours=hours), path="/backup/x.tar.gz")
    assert about(checks_setup.backups(Settings(), clock()), "备份") == [level]


async def test_the_notice_and_the_calendar(hotline):
    levels, _ = said(hotline)
    assert {(LOOK, "通知"), (LOOK, "日历")} <= levels
    assert (LOOK, "日历") not in {
        (f.level, f.about) for f in checks_setup.notice(hotline.config, hotline.clock() - timedelta(days=200))
    }


# -- processes --------------------------------------------------------------------------------------


class Doors:
    """Gateway, desk and engine as the doctor hears them: path → (status, JSON)."""

    def __init__(self):
        self.answers = {
            "/readyz": (200, {"database": True, "engine": True}),
            "/healthz": (200, {"status": "ok"}),
            "/webhooks/turn/": (200, {"status": "ok"}),
            "/webhooks/turn/webhook": (200, {"replies": [], "reading": {"acts": {}}, "entities": []}),
        }
        doors = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = doors.answers.get(self.path, (404, {}))
                if self.command == "POST":
                    length = int(self.headers.get("content-length", 0))
                    assert json.loads(self.rfile.read(length))["context"] == {"read_only": True}
                    if self.headers["x-hotline-token"] != TOKEN:
                        status = 401
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def doors():
    """All of them, well, on one port."""
    made = Doors()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def running(make_hotline, doors):
    """A deployment whose processes answer."""
    return make_hotline(port=doors.port, desk_port=doors.port, engine_port=doors.port)


async def test_processes_that_answer(running, monkeypatch):
    monkeypatch.setenv("HOTLINE_ENGINE_TOKEN", TOKEN)
    findings = found(running)
    assert [about(findings, who) for who in ("网关", "引擎", "值班台")] == [[OK, OK], [OK], [OK]]


async def test_processes_that_are_down(make_hotline):
    findings = found(make_hotline(port=1, desk_port=1, engine_port=1))
    assert [about(findings, who) for who in ("网关", "引擎", "值班台")] == [[BROKEN], [BROKEN], [BROKEN]]


async def test_a_gateway_without_its_database(running, doors):
    doors.answers["/readyz"] = (503, {"database": False, "engine": True})
    assert about(found(running), "网关") == [BROKEN, OK]


async def test_a_port_that_somebody_else_has(running, doors):
    doors.answers["/readyz"] = (200, ["no", "gateway"])
    assert about(found(running), "网关") == [BROKEN]


async def test_one_engine_of_two_is_down(running, doors):
    config = running.config.model_copy(
        update={"engine_url": f"http://127.0.0.1:{doors.port}/, http://127.0.0.1:1"}
    )
    assert about(found(running, config), "引擎") == [OK, BROKEN]


@pytest.mark.parametrize(
    ("answer", "token", "says"),
    [
        ((200, {"reading": {}}), TOKEN, "读不懂"),
        ((500, {"error": "x"}), TOKEN, "读不懂"),
        ((200, {"reading": {"acts": {}}}), "another token", "不认 HOTLINE_ENGINE_TOKEN"),
    ],
)
async def test_an_engine_that_answers_wrongly(running, doors, monkeypatch, answer, token, says):
    monkeypatch.setenv("HOTLINE_ENGINE_TOKEN", token)
    doors.answers["/webhooks/turn/webhook"] = answer
    assert any(f.level == BROKEN and says in f.says for f in found(running))


async def test_without_a_desk_none_is_missed(make_hotline):
    assert about(found(make_hotline(desk="off")), "值班台") == []


async def test_redis_that_is_down_and_one_that_is_up(hotline, server):  # noqa: F811
    for url, levels in (("", []), ("redis://127.0.0.1:1/0", [LOOK]), (server, [OK])):
        config = hotline.config.model_copy(update={"redis_url": url})
        assert about(found(hotline, config), "Redis") == levels


# -- database ---------------------------------------------------------------------------------------


async def test_a_fresh_database_is_well(hotline):
    levels, _ = said(hotline)
    assert {(OK, "数据库"), (OK, "审计"), (OK, "发件箱"), (OK, "会话"), (OK, "时钟")} <= levels


async def test_no_database_at_all(hotline, tmp_path):
    config = Settings(database_url=f"sqlite:///{tmp_path}/nowhere/hotline.db")
    assert (BROKEN, "数据库") in said(hotline, config)[0]


async def test_a_database_that_is_down(hotline):
    config = Settings(database_url="postgresql://nobody@127.0.0.1:1/none")
    assert (BROKEN, "数据库") in said(hotline, config)[0]


async def test_a_database_of_an_older_version(hotline, tmp_path):
    upgrade(f"sqlite:///{tmp_path}/old.db", "0002")
    config = Settings(database_url=f"sqlite:///{tmp_path}/old.db")
    levels, text = said(hotline, config)
    assert (BROKEN, "数据库") in levels and "结构是 0002" in text


async def test_a_database_of_somebody_else(hotline, tmp_path):
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE x (y)").connection.close()
    config = Settings(database_url=f"sqlite:///{tmp_path}/other.db")
    assert (BROKEN, "数据库") in said(hotline, config)[0]


@pytest.mark.parametrize(("ahead", "level"), [(0, OK), (1, OK), (10, LOOK), (3600, BROKEN)])
async def test_a_clock_that_was_set_back(hotline, ahead, level):
    talk = await hotline.open()
    with hotline.sessions.begin() as session:
        at = hotline.clock() + timedelta(seconds=ahead)
        session.execute(update(Conversation).where(Conversation.id == talk.id).values(updated_at=at))
    assert about(found(hotline), "时钟") == [level]


def test_the_clock_of_a_database_server(postgres, monkeypatch, clock):
    engine = make_engine(f"{postgres}/postgres")
    with make_sessions(engine)() as session:
        (finding,) = checks_database.clock(session, clock())
        assert finding.level == OK
        monkeypatch.setattr(checks_database, "SKEW", timedelta(seconds=-2))
        monkeypatch.setattr(checks_database, "BAD_SKEW", timedelta(seconds=-1))
        assert [f.level for f in checks_database.clock(session, clock())] == [BROKEN]
    engine.dispose()


async def test_a_message_without_an_answer(hotline):
    talk = await hotline.open()
    with hotline.sessions.begin() as session:
        log.accept(session, log.InboundMessage(talk.id, "widget", "x:1", "在吗"), hotline.clock())
    assert (OK, "会话") in said(hotline, later=timedelta(seconds=90))[0]
    levels, text = said(hotline, later=timedelta(minutes=5))
    assert (BROKEN, "会话") in levels and "5 分钟没有得到答复" in text


async def test_people_who_wait(hotline):
    hotline.engine.script["人工"] = [{"compose": "handoff"}]
    assert about(found(hotline), "转人工") == []
    await (await hotline.open()).say("人工")
    assert (LOOK, "转人工") in said(hotline)[0]
    assert (BROKEN, "转人工") in said(hotline, later=timedelta(minutes=11))[0]


async def test_a_promised_call_back_that_was_not_made(hotline):
    talk = await hotline.open()
    await talk.say("登记回电")
    await talk.say("13904321187")
    assert (BROKEN, "回电") not in said(hotline)[0]
    levels, text = said(hotline, later=timedelta(minutes=31))
    assert (BROKEN, "回电") in levels and "13904321187" not in text


async def test_a_missed_clock_of_an_open_case(hotline):
    from tests.cases.filing import file

    file(hotline.sessions, hotline.clock())
    assert about(found(hotline), "时限") == []
    assert about(found(hotline, later=timedelta(days=60)), "时限") == [BROKEN]


def delivery(hotline, **values):
    now = hotline.clock()
    return Delivery(
        **{
            "delivery_id": uuid.uuid4().hex, "kind": "sms", "lane": "x", "dedupe_key": uuid.uuid4().hex, "target": {},
            "payload": {}, "created_at": now, "next_at": now,
        } | values
    )  # fmt: skip


async def test_dead_letters_and_an_outbox_that_stands_still(hotline):
    assert about(found(hotline), "发件箱") == [OK]
    with hotline.sessions.begin() as session:
        session.add(delivery(hotline))
    assert about(found(hotline, later=timedelta(minutes=6)), "发件箱") == [LOOK]
    with hotline.sessions.begin() as session:
        session.add(delivery(hotline, state="dead"))
    assert about(found(hotline), "发件箱") == [BROKEN, OK]


async def test_accounts_and_the_roster(hotline):
    findings = found(hotline)
    assert (about(findings, "账号"), about(findings, "值班表")) == ([BROKEN], [BROKEN, LOOK])
    now = hotline.clock()
    with hotline.sessions.begin() as session:
        agent = accounts.add_staff(session, "li", "李强", Role.AGENT, "Mei-Hua 2026 xue", now=now)
    assert about(found(hotline), "账号") == [BROKEN]  # Nobody can manage accounts.
    with hotline.sessions.begin() as session:
        accounts.add_staff(session, "wang", "王敏", Role.ADMIN, "Mei-Hua 2026 xue", now=now, must_change=True)
    assert about(found(hotline), "账号") == [LOOK]
    with hotline.sessions.begin() as session:
        staff = accounts.find_staff(session, "wang")
        accounts.change_password(session, staff, "Mei-Hua 2026 xue!", now=now, by="system")
        for (day, period, post), _ in roster.plan(session, now.date(), 7).items():
            roster.assign(session, day, period, post, agent, by=staff, now=now)
    findings = found(hotline)
    assert (about(findings, "账号"), about(findings, "值班表")) == ([OK], [OK])
    findings = found(hotline, later=timedelta(days=2))
    assert about(findings, "值班表") == [LOOK]


async def test_a_changed_audit_log_is_told_and_noted(hotline):
    with hotline.sessions.begin() as session:
        audit.record(session, "staff:wang", "case.unmask", "case:1", now=hotline.clock())
    assert about(found(hotline), "审计") == [OK]
    assert records.last(hotline.config.home_dir, records.AUDIT)["broken"] is None
    connection = sqlite3.connect(hotline.config.home_dir / "hotline.db")
    connection.execute("DROP TRIGGER audit_log_no_update")
    connection.execute("UPDATE audit_log SET actor = 'staff:li'")
    connection.commit()
    connection.close()
    assert about(found(hotline), "审计") == [BROKEN]
    assert "entry 1" in records.last(hotline.config.home_dir, records.AUDIT)["broken"]


@pytest.mark.parametrize(("name", "says"), [("bot_off", "机器人已停用"), ("people_first", "人工优先")])
async def test_switches_that_are_on(hotline, name, says):
    assert about(found(hotline), "开关") == []
    with hotline.sessions.begin() as session:
        set_switch(session, name, True, reason="测试", by="staff:wang", now=hotline.clock())
    levels, text = said(hotline)
    assert (LOOK, "开关") in levels and says in text


# -- the command ------------------------------------------------------------------------------------


async def test_whatever_is_not_well_says_why_and_what_to_do(hotline):
    for finding in found(hotline, Settings(debug=True, host="0.0.0.0", sms_gateway="kannel")):
        assert (finding.level == OK) == (not finding.why) == (not finding.do), finding


def command(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", "doctor", *arguments], env=os.environ | environment, cwd=ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


async def test_the_exit_code_is_1_for_faults_and_0_for_what_only_wants_a_look(running, doors):
    now = running.clock()
    with running.sessions.begin() as session:
        staff = accounts.add_staff(session, "wang", "王敏", Role.ADMIN, "Mei-Hua 2026 xue", now=now)
    # The command has the real clock: the present shift must be held whenever this runs.
    from datetime import datetime, timezone

    today = datetime.now(timezone.utc).astimezone(now.tzinfo).date()
    with running.sessions.begin() as session:
        for (day, period, post), _ in roster.plan(session, today - timedelta(days=1), 9).items():
            roster.assign(session, day, period, post, staff, by=staff, now=now)
    ports = dict.fromkeys(("HOTLINE_PORT", "HOTLINE_DESK_PORT", "HOTLINE_ENGINE_PORT"), str(doors.port))
    code, text = command(**ports)
    assert code == 0, text
    assert "0 项故障" in text and "[注意]" in text and "[正常]" in text and "处理：" in text
    code, text = command("--faults", "--json", **(ports | {"HOTLINE_ENGINE_PORT": "1"}))
    assert code == 1
    levels = {finding["level"] for finding in json.loads(text)}
    assert levels == {BROKEN, LOOK}
