"""Metrics on real values, and alerts and dashboard that name only what a running application exports."""

import asyncio
import json
import re
import sqlite3
import uuid
from datetime import timedelta

import pytest
import yaml

from bot.channels.promises import GAUGES
from bot.conversations.engine import EngineFailed
from bot.operations import records
from bot.operations.backup import backup
from bot.outbox.models import Delivery
from bot.settings import ROOT
from tests.desk.conftest import cheap_hashes, desk, make_desk  # noqa: F401

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "hotline.json"


async def scraped(hotline):
    """Sample → value of one scrape of the running application."""
    text = (await hotline.http.get("/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^(hotline_\S+) (\S+)$", text, re.M)}


async def change(hotline, sample, work):
    """By how much a sample grows while `work` is done."""
    before = (await scraped(hotline)).get(sample, 0)
    await work
    return (await scraped(hotline)).get(sample, 0) - before


# -- real values ------------------------------------------------------------------------------------


async def test_turns_that_the_engine_does_not_decide(hotline):
    hotline.engine.script["慢"] = EngineFailed("TimeoutError: ")
    hotline.engine.script["坏"] = KeyError("compose")
    talk = await hotline.open()
    name = 'hotline_engine_failures_total{reason="%s"}'
    assert await change(hotline, name % "TimeoutError", talk.say("慢")) == 1
    assert await change(hotline, name % "KeyError", talk.say("坏")) == 1
    assert await change(hotline, name % "TimeoutError", talk.say("好")) == 0


async def test_a_message_that_waits_for_the_turn_before_it(hotline):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_):
        begun.set()
        await go_on.wait()
        return [{"compose": "ready", "kind": "chitchat", "text": "好"}]

    hotline.engine.script["慢"] = slow
    talk = await hotline.open()

    async def both():
        first = asyncio.create_task(talk.say("慢"))
        await begun.wait()
        second = asyncio.create_task(talk.say("快"))
        await asyncio.sleep(0.3)
        go_on.set()
        await asyncio.gather(first, second)

    waited = 'hotline_turn_lock_wait_seconds_bucket{le="0.2"}'
    before = await scraped(hotline)
    await both()
    after = await scraped(hotline)
    count = "hotline_turn_lock_wait_seconds_count"
    # Two turns, of which one waited for longer than 0.2 s.
    assert after[count] - before.get(count, 0) == 2
    assert after[waited] - before.get(waited, 0) == 1
    assert after["hotline_turn_lock_wait_seconds_sum"] - before["hotline_turn_lock_wait_seconds_sum"] > 0.2


async def test_a_locked_database_is_counted_and_refused(make_hotline):
    hotline = make_hotline(busy_timeout=0.2)
    talk = await hotline.open()
    connection = sqlite3.connect(hotline.config.home_dir / "hotline.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    before = await scraped(hotline)
    assert (await talk.send("你好")).status_code == 503
    connection.execute("ROLLBACK")
    connection.close()
    after = await scraped(hotline)
    for name in ('hotline_database_errors_total{error="busy"}', 'hotline_refused_total{code="not_stored"}'):
        assert after[name] - before.get(name, 0) == 1


async def test_a_duplicate_is_answered_from_the_log_and_counted(hotline):
    talk = await hotline.open()
    first = await talk.send("你好", message_id="message-1")
    name = 'hotline_duplicate_deliveries_total{channel="widget"}'
    assert await change(hotline, name, talk.send("你好", message_id="message-1")) == 1
    assert (await talk.send("你好", message_id="message-1")).json() == first.json()
    assert hotline.engine.texts == ["你好"]


async def test_the_last_back_up_and_the_audit_chain(make_hotline, tmp_path):
    hotline = make_hotline()
    assert not {n for n in await scraped(hotline) if "backup" in n or "audit" in n}
    backup(hotline.config, tmp_path, hotline.clock() - timedelta(hours=3))
    again = make_hotline()  # What was read is kept for some seconds.
    found = await scraped(again)
    assert found["hotline_backup_age_seconds"] == found["hotline_audit_verified_age_seconds"] == 3 * 3600
    assert found["hotline_audit_chain_holds"] == 1
    records.note(hotline.config.home_dir, records.AUDIT, hotline.clock(), broken="entry 1")
    found = await scraped(make_hotline())
    assert (found["hotline_audit_chain_holds"], found["hotline_audit_verified_age_seconds"]) == (0, 0)


async def test_back_up_and_chain_are_told_while_the_database_is_down(make_hotline, tmp_path):
    backup(make_hotline().config, tmp_path, make_hotline().clock())
    down = make_hotline(database_url=f"sqlite:///{tmp_path}/none.db")
    found = await scraped(down)
    assert found["hotline_database_up"] == 0 and found["hotline_backup_age_seconds"] == 0
    assert "hotline_unanswered_messages" not in found


# -- alerts and dashboard ---------------------------------------------------------------------------


def rules():
    return [rule for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for rule in group["rules"]]


def expressions():
    """(where, query) of every alert and panel."""
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"]


@pytest.fixture
async def exported(make_hotline, desk, tmp_path):  # noqa: F811
    """Every series that gateway and desk export, with something of each kind in the database."""
    hotline = make_hotline()
    with hotline.sessions.begin() as session:
        for state in ("pending", "dead"):
            session.add(
                Delivery(
                    delivery_id=uuid.uuid4().hex, kind="sms", lane="x", dedupe_key=state, target={}, payload={},
                    state=state, created_at=hotline.clock(), next_at=hotline.clock(),
                )
            )  # fmt: skip
    backup(hotline.config, tmp_path, hotline.clock())
    texts = [(await hotline.http.get("/metrics")).text]
    texts.append((await desk.client(desk.lead).get("/api/v1/metrics")).text)
    series = set()
    for name, kind in re.findall(r"^# TYPE (hotline_\w+) (\w+)$", "\n".join(texts), re.M):
        series |= {f"{name}_{end}" for end in ("bucket", "count", "sum")} if kind == "histogram" else {name}
    return series


async def test_every_metric_of_alerts_and_dashboard_is_exported_by_a_running_application(exported):
    asked = {(where, name) for where, query in expressions() for name in re.findall(r"hotline_\w+", query)}
    assert {(where, name) for where, name in asked if name not in exported} == set()
    assert len({name for _, name in asked}) >= len(GAUGES)


async def test_every_gauge_is_exported(exported):
    assert set(GAUGES) <= exported


def test_every_promise_has_an_alert_or_a_reason_why_it_has_none():
    watched = {int(rule["labels"]["promise"]) for rule in rules() if "promise" in rule["labels"]}
    excused = {
        int(n) for n in re.findall(r"^# Promise (\d+): no alert, because \S", ALERTS.read_text("utf-8"), re.M)
    }
    assert watched | excused == set(range(1, 11))
    assert not watched & excused


def test_the_tests_that_the_reasons_name_exist():
    head = ALERTS.read_text("utf-8").split("\ngroups:")[0]
    named = re.findall(r"(?:tests|bot)/[\w/]+(?:\.py)?", head)
    assert named and all((ROOT / name).exists() for name in named)


def test_what_must_wake_somebody_is_watched():
    watched = {name for rule in rules() for name in re.findall(r"hotline_\w+", rule["expr"])}
    assert {
        "hotline_unanswered_oldest_seconds", "hotline_outbox_oldest_seconds", "hotline_turn_lock_wait_seconds_bucket",
        "hotline_clocks_missed", "hotline_hand_over_oldest_seconds", "hotline_owner_silent_seconds",
        "hotline_engine_failures_total", "hotline_duplicate_deliveries_total", "hotline_database_errors_total",
        "hotline_refused_total", "hotline_outbox_dead", "hotline_backup_age_seconds",
        "hotline_audit_verified_age_seconds", "hotline_audit_chain_holds",
    } <= watched  # fmt: skip


@pytest.mark.parametrize("where, query", list(expressions()))
def test_queries_are_written_soundly(where, query):
    """No PromQL parser is at hand: brackets close, and no counter is shown without a rate."""
    depth = 0
    for character in query:
        depth += (character in "({[") - (character in ")}]")
        assert depth >= 0, where
    assert depth == 0, where
    for name, rest in re.findall(r"(hotline_\w+_(?:total|bucket|count))((?:\{[^}]*\})?(?:\[\w+\])?)", query):
        assert rest.endswith("]"), f"{where}: {name} without a range"
