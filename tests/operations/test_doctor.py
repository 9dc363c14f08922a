"""The doctor finds what was broken on purpose, and nothing in what is well."""

import os
import sqlite3
import uuid
from datetime import timedelta

import pytest

from bot.conversations import log
from bot.conversations.switches import set_switch
from bot.operations.doctor import BROKEN, LOOK, OK, examine
from bot.outbox.models import Delivery
from bot.settings import Settings


def said(hotline, config=None, later=timedelta(0)):
    found = examine(config or hotline.config, hotline.clock() + later)
    return {(f.level, f.about) for f in found}, "\n".join(f.says for f in found)


async def test_a_fresh_deployment_that_does_not_run(hotline):
    levels, _ = said(hotline)
    assert {(OK, "数据库"), (OK, "审计"), (OK, "发件箱"), (OK, "会话"), (OK, "磁盘")} <= levels
    assert (BROKEN, "网关") in levels and (LOOK, "通知") in levels


async def test_a_message_without_an_answer(hotline):
    talk = await hotline.open()
    with hotline.sessions.begin() as session:
        log.accept(session, log.InboundMessage(talk.id, "widget", "x:1", "在吗"), hotline.clock())
    levels, text = said(hotline, later=timedelta(minutes=5))
    assert (BROKEN, "会话") in levels and "5 分钟没有得到答复" in text


async def test_people_who_wait(hotline):
    hotline.engine.script["人工"] = [{"compose": "handoff"}]
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


async def test_dead_letters(hotline):
    with hotline.sessions.begin() as session:
        now = hotline.clock()
        session.add(
            Delivery(
                delivery_id=uuid.uuid4().hex, kind="sms", lane="x", dedupe_key="x", target={}, payload={},
                state="dead", created_at=now, next_at=now,
            )
        )  # fmt: skip
    assert (BROKEN, "发件箱") in said(hotline)[0]


async def test_a_changed_audit_log(hotline):
    from bot import audit

    with hotline.sessions.begin() as session:
        audit.record(session, "staff:wang", "case.unmask", "case:1", now=hotline.clock())
    connection = sqlite3.connect(hotline.config.home_dir / "hotline.db")
    connection.execute("DROP TRIGGER audit_log_no_update")
    connection.execute("UPDATE audit_log SET actor = 'staff:li'")
    connection.commit()
    connection.close()
    assert (BROKEN, "审计") in said(hotline)[0]


async def test_switches_that_are_on(hotline):
    with hotline.sessions.begin() as session:
        set_switch(session, "bot_off", True, reason="测试", by="staff:wang", now=hotline.clock())
    assert "机器人已停用" in said(hotline)[1]


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({"debug": True}, LOOK),
        ({"debug": True, "host": "0.0.0.0"}, BROKEN),
        ({"rate_limits": "off", "host": "0.0.0.0"}, BROKEN),
        ({"desk_host": "0.0.0.0"}, BROKEN),
    ],
)
async def test_settings_that_should_not_meet_the_public(hotline, settings, level):
    config = Settings(**settings)
    assert (level, "设置") in said(hotline, config)[0]


async def test_a_key_that_others_can_read(hotline, monkeypatch):
    path = hotline.config.home_dir / "data.key"
    path.write_text("x")
    os.chmod(path, 0o644)
    assert (BROKEN, "密钥") in said(hotline)[0]


async def test_no_database_at_all(hotline, tmp_path):
    config = Settings(database_url=f"sqlite:///{tmp_path}/nowhere/hotline.db")
    assert (BROKEN, "数据库") in said(hotline, config)[0]


async def test_a_database_of_an_older_version(hotline, tmp_path):
    from bot.storage import upgrade

    upgrade(f"sqlite:///{tmp_path}/old.db", "0002")
    config = Settings(database_url=f"sqlite:///{tmp_path}/old.db")
    assert (BROKEN, "数据库") in said(hotline, config)[0]
