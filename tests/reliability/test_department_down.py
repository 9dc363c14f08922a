"""A department's webhook refuses connections while a case is dispatched to it."""

from __future__ import annotations

import hashlib
import hmac
import json
from types import SimpleNamespace

import pytest

from tests.reliability.cells import cell
from tests.reliability.deployments import DEPARTMENT, HOOK_SECRET, Alone, lodge, until

ROW = "webhook of a department down"
PHONE = "13904310002"


@pytest.fixture(scope="module")
def seen(alone: Alone) -> SimpleNamespace:
    alone.wait_until_ready()
    records = alone.records
    citizen = alone.citizen()
    number = lodge(citizen, PHONE)
    seen = SimpleNamespace(number=number)
    alone.hook.stop()
    try:
        order = {"lead": DEPARTMENT, "opinion": "请核实过期食品", "due_on": None}
        seen.dispatched = alone.desk.post(f"/cases/{number}/dispatch", order)
        until(lambda: records.deliveries(case_number=number, kind="department")[0].last_error, "a try")
        seen.waiting = records.deliveries(case_number=number, kind="department")
        seen.status = citizen.ask(f"查进度 {number} {PHONE}")
        seen.case = alone.desk.get(f"/cases/{number}")
        seen.outbox = alone.desk.get("/dead-letters")
        seen.received_meanwhile = list(alone.hook.received)
    finally:
        alone.hook.start()
    until(lambda: records.deliveries(case_number=number, kind="department")[0].state == "sent", "the push")
    seen.received = list(alone.hook.received)
    seen.delivery = records.deliveries(case_number=number, kind="department")[0]
    return seen


@cell(ROW, "citizen", "notices nothing: the case is where staff put it, its status is told as ever")
def test_the_citizen_is_told_the_status(seen: SimpleNamespace) -> None:
    assert seen.status.kinds == ["status"]
    assert seen.status.replies[0]["answer"]["case"] == seen.number
    assert "待受理" in seen.status.replies[0]["text"]


@cell(ROW, "agent", "dispatches as ever and sees at the case that the push has not gone out yet")
def test_the_agent_sees_the_push_waiting(seen: SimpleNamespace) -> None:
    assert seen.dispatched.status == 201
    [push] = seen.case.body["pushes"]
    assert (push["state"], push["attempts"]) == ("pending", 1)
    assert seen.outbox.body["counts"]["pending"] >= 1


@cell(ROW, "stored", "the dispatch and one delivery in the same transaction; it waits with what went wrong")
def test_the_delivery_waits(seen: SimpleNamespace) -> None:
    assert seen.received_meanwhile == []
    [delivery] = seen.waiting
    assert (delivery.state, delivery.last_error) == ("pending", "no answer: ConnectError")
    assert seen.case.body["dispatches"][0]["department"] == DEPARTMENT


@cell(
    ROW, "recovery", "sent by itself when the department is back: once, signed, under the id of the first try"
)
def test_pushed_once_and_signed(seen: SimpleNamespace) -> None:
    [push] = seen.received
    assert push.headers["x-hotline-delivery"] == seen.delivery.delivery_id == seen.waiting[0].delivery_id
    signed = push.headers["x-hotline-timestamp"].encode() + b"." + push.body.encode()
    wanted = hmac.new(HOOK_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert push.headers["x-hotline-signature"] == wanted
    assert json.loads(push.body)["number"] == seen.number
