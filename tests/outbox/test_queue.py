from datetime import timedelta

import pytest
from sqlalchemy import select, text

from bot.outbox import queue
from bot.outbox.models import Delivery
from bot.outbox.queue import ATTEMPTS, cancel, dead_letters, failed, forget, lease, report, revive, sent
from tests.cases.test_case_store import together


def put(session, now, key="1", lane="a", kind="sms", **more):
    """Queue one delivery to a phone."""
    target, payload = {"to": "13904321187"}, {"n": key}
    return queue.enqueue(
        session, kind=kind, lane=lane, dedupe_key=key, target=target, payload=payload, now=now, **more
    )


def names(deliveries):
    return [delivery.dedupe_key for delivery in deliveries]


def take(sessions, now, worker="w", **more):
    with sessions.begin() as session:
        return names(lease(session, worker, now, **more))


def state(sessions, key="1"):
    with sessions() as session:
        return session.scalars(select(Delivery).where(Delivery.dedupe_key == key)).one()


def test_the_same_key_again_is_the_first_delivery(sessions, now):
    with sessions.begin() as session:
        first = put(session, now)
        again = put(session, now + timedelta(hours=1), lane="other")
        assert (again.id, again.delivery_id, again.lane, again.created_at) == (
            first.id, first.delivery_id, "a", now
        )  # fmt: skip
    with sessions.begin() as session:
        assert put(session, now).delivery_id == first.delivery_id


def test_a_rolled_back_transaction_queues_nothing(sessions, now):
    with pytest.raises(RuntimeError), sessions.begin() as session:
        put(session, now)
        raise RuntimeError
    assert take(sessions, now) == []


def test_what_is_queued_lies_sealed(sessions, engine, now):
    with sessions.begin() as session:
        put(session, now)
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT target FROM outbox")).scalar_one()
    assert b"13904321187" not in bytes(stored)


def test_a_lane_goes_out_in_order_and_lanes_do_not_wait_for_each_other(sessions, now):
    with sessions.begin() as session:
        for key, lane in (("1", "a"), ("2", "a"), ("3", "b")):
            put(session, now, key, lane)
    assert take(sessions, now) == ["1", "3"]
    assert take(sessions, now) == []
    with sessions.begin() as session:
        assert sent(session, state(sessions).id, "x1", now)
    assert take(sessions, now) == ["2"]


def test_a_delivery_that_waits_for_another_try_holds_up_its_lane(sessions, now):
    with sessions.begin() as session:
        put(session, now, "1")
        put(session, now, "2")
        (first,) = lease(session, "w", now)
        failed(session, first.id, "busy", now)
    assert take(sessions, now + timedelta(seconds=5)) == []
    assert take(sessions, now + timedelta(seconds=15)) == ["1"]


def test_one_that_is_kept_back_holds_nothing_up(sessions, now):
    with sessions.begin() as session:
        put(session, now, "1", not_before=now + timedelta(hours=8))
        put(session, now, "2")
    assert take(sessions, now) == ["2"]
    with sessions.begin() as session:
        sent(session, state(sessions, "2").id, None, now)
    assert take(sessions, now + timedelta(hours=7)) == []
    assert take(sessions, now + timedelta(hours=8)) == ["1"]


def test_a_worker_gets_only_kinds_it_can_send(sessions, now):
    with sessions.begin() as session:
        put(session, now, "1", "a", "sms")
        put(session, now, "2", "b", "wechat")
    assert take(sessions, now, kinds=["wechat"]) == ["2"]
    with sessions() as session:
        assert queue.is_due(session, now, ["sms"]) and not queue.is_due(session, now, ["wechat"])


def test_a_lease_that_expires_is_taken_over_under_the_same_delivery_id(sessions, now):
    with sessions.begin() as session:
        first = put(session, now).delivery_id
    assert take(sessions, now, "w1", seconds=60) == ["1"]
    assert take(sessions, now + timedelta(seconds=59), "w2") == []
    assert take(sessions, now + timedelta(seconds=60), "w2") == ["1"]
    held = state(sessions)
    assert (held.delivery_id, held.leased_by, held.attempts) == (first, "w2", 2)


def test_a_late_failure_of_the_first_worker_does_not_end_the_second_ones_lease(sessions, now):
    with sessions.begin() as session:
        put(session, now)
    take(sessions, now, "w1")
    take(sessions, now + timedelta(minutes=2), "w2")
    with sessions.begin() as session:
        id = state(sessions).id
        assert not failed(session, id, "too slow", now, worker="w1")
    assert state(sessions).leased_by == "w2"
    with sessions.begin() as session:
        assert sent(session, id, "x", now)  # but if it was taken after all, it was taken
        assert not sent(session, id, "y", now)
    assert (state(sessions).state, state(sessions).external_id) == ("sent", "x")


def test_waits_grow_with_jitter_until_the_delivery_is_dead(sessions, now):
    with sessions.begin() as session:
        put(session, now)
    waits, at = [], now
    for attempt in range(1, ATTEMPTS + 1):
        with sessions.begin() as session:
            (delivery,) = lease(session, "w", at)
            assert delivery.attempts == attempt
            assert failed(session, delivery.id, "no answer", at)
        if attempt < ATTEMPTS:
            waits.append((state(sessions).next_at - at).total_seconds())
            at = state(sessions).next_at
    expected = [10, 30, 90, 270, 810, 2430, 7200, 7200]
    assert all(0.8 * e <= w <= 1.2 * e for w, e in zip(waits, expected, strict=True))
    assert waits != expected
    assert (state(sessions).state, state(sessions).last_error) == ("dead", "no answer")
    assert take(sessions, at + timedelta(days=9)) == []


def test_the_receivers_own_wait_is_kept(sessions, now):
    with sessions.begin() as session:
        put(session, now)
        (delivery,) = lease(session, "w", now)
        failed(session, delivery.id, "429", now, retry_after=600)
    assert state(sessions).next_at == now + timedelta(minutes=10)


def test_a_refusal_is_dead_at_once_and_frees_its_lane(sessions, now):
    with sessions.begin() as session:
        put(session, now, "1")
        put(session, now, "2")
        (first,) = lease(session, "w", now)
        failed(session, first.id, "no such number 13904321187", now, final=True)
    assert state(sessions).last_error == "no such number 139****1187"
    assert take(sessions, now) == ["2"]


def test_what_kills_its_worker_every_time_ends_as_a_dead_letter(sessions, now):
    with sessions.begin() as session:
        put(session, now)
    for attempt in range(ATTEMPTS):
        assert take(sessions, now + timedelta(minutes=2 * attempt)) == ["1"]
    assert take(sessions, now + timedelta(hours=1)) == []
    assert state(sessions).state == "dead"
    with sessions() as session:
        assert names(dead_letters(session)) == ["1"]


def test_a_dead_letter_can_be_revived_and_keeps_its_delivery_id(sessions, now):
    with sessions.begin() as session:
        before = put(session, now).delivery_id
        (delivery,) = lease(session, "w", now)
        failed(session, delivery.id, "gone", now, final=True)
        assert queue.counts(session) == {"pending": 0, "leased": 0, "dead": 1}
    with sessions.begin() as session:
        assert revive(session, delivery.id, now)
        assert not revive(session, delivery.id, now)
        assert not revive(session, 999, now)
    assert take(sessions, now) == ["1"]
    assert (state(sessions).delivery_id, state(sessions).attempts) == (before, 1)


@pytest.mark.parametrize("by_external_id", [True, False])
def test_a_report_tells_that_it_arrived(sessions, now, by_external_id):
    with sessions.begin() as session:
        delivery = put(session, now)
        lease(session, "w", now)
        sent(session, delivery.id, "gw-1", now)
        name = "gw-1" if by_external_id else delivery.delivery_id
        assert report(session, "wechat", name, True, now) is None
        assert report(session, "sms", name, True, now).state == "delivered"
        assert report(session, "sms", name, False, now).state == "delivered"
    assert state(sessions).delivered_at == now


def test_a_report_may_overtake_the_record_of_sending(sessions, now):
    with sessions.begin() as session:
        delivery = put(session, now)
        lease(session, "w", now)
        report(session, "sms", delivery.delivery_id, True, now)
        assert sent(session, delivery.id, "gw-1", now)
    assert (state(sessions).state, state(sessions).external_id) == ("delivered", "gw-1")
    assert take(sessions, now + timedelta(hours=1)) == []


def test_a_bad_report_is_a_dead_letter_until_a_good_one_comes(sessions, now):
    with sessions.begin() as session:
        delivery = put(session, now)
        lease(session, "w", now)
        sent(session, delivery.id, "gw-1", now)
        assert report(session, "sms", "gw-1", False, now).state == "dead"
        assert report(session, "sms", "gw-1", True, now).state == "delivered"


def test_only_what_nobody_tried_can_be_cancelled(sessions, now):
    with sessions.begin() as session:
        first, second = put(session, now, "1"), put(session, now, "2", "b")
        assert cancel(session, second.id)
        (leased,) = lease(session, "w", now)
        assert leased.id == first.id
        assert not cancel(session, first.id)
        failed(session, first.id, "x", now)
        assert not cancel(session, first.id)


def test_old_deliveries_are_forgotten_but_dead_and_waiting_ones_stay(sessions, now):
    with sessions.begin() as session:
        for key in "1234":
            put(session, now, key, key)
        lease(session, "w", now, limit=3)
        sent(session, state_id(session, "1"), None, now)
        failed(session, state_id(session, "2"), "x", now, final=True)
    with sessions.begin() as session:
        assert forget(session, now) == 0
        assert forget(session, now + timedelta(days=1)) == 1
        left = session.scalars(select(Delivery.dedupe_key).order_by(Delivery.id)).all()
    assert left == ["2", "3", "4"]


def state_id(session, key):
    return session.scalar(select(Delivery.id).where(Delivery.dedupe_key == key))


def test_many_workers_share_the_work_and_send_nothing_twice(sessions, now):
    with sessions.begin() as session:
        for number in range(24):
            put(session, now, str(number), f"lane{number % 12}")

    def work(index):
        got = []
        for _ in range(4):
            with sessions.begin() as session:
                leased = lease(session, f"w{index}", now, limit=3)
            for delivery in leased:
                with sessions.begin() as session:
                    sent(session, delivery.id, None, now)
                got.append(delivery.dedupe_key)
        return got

    shared = together(6, work)
    got = [key for keys in shared for key in keys]
    assert len(got) == len(set(got))
    while rest := take(sessions, now):
        got += rest
        with sessions.begin() as session:
            for key in rest:
                sent(session, state_id(session, key), None, now)
    assert sorted(got, key=int) == [str(number) for number in range(24)]


def test_a_row_that_does_not_open_is_dead_and_stops_nobody(sessions, engine, now):
    with sessions.begin() as session:
        put(session, now, "1", "a")
        put(session, now, "2", "b")
    with engine.begin() as connection:
        connection.execute(text("UPDATE outbox SET payload = target WHERE dedupe_key = '1'"))
    assert take(sessions, now) == ["2"]
    with sessions() as session:
        assert session.scalar(select(Delivery.state).where(Delivery.dedupe_key == "1")) == "dead"


def test_what_was_queued_while_the_clock_was_ahead_goes_out_at_once(sessions, now):
    ahead = now + timedelta(hours=2)
    with sessions.begin() as session:
        put(session, ahead, "at once", "a")
        put(session, ahead, "kept back", "b", not_before=ahead + timedelta(hours=5))
        put(session, now, "later", "c", not_before=now + timedelta(hours=1))
        put(session, now + timedelta(seconds=30), "another machine's", "d")
        assert queue.is_due(session, now)
    assert take(sessions, now) == ["at once"]
    # It failed: it waits as long as any other one, from the real time on.
    with sessions.begin() as session:
        assert failed(session, state(sessions, "at once").id, "no answer", now)
    with sessions() as session:
        assert not queue.is_due(session, now + timedelta(seconds=1))
    assert state(sessions, "at once").next_at < now + timedelta(minutes=1)
    assert state(sessions, "kept back").next_at == ahead + timedelta(hours=5)
