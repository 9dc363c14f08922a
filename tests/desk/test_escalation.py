"""Nobody rings in vain: hand-overs climb the roster, silent agents lose the conversation. The clock is moved."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from bot.conversations import log, ownership
from bot.conversations.log import InboundMessage, Reply
from bot.conversations.models import Conversation, HandOver, Message
from bot.desk import escalation
from bot.desk.models import Page
from bot.desk.serve import tick
from bot.errors import HotlineError
from bot.staff import accounts, roster
from tests.desk.conftest import PASSWORD

MINUTE = timedelta(minutes=1)


class Duty:
    """A database with the roster of the shift at the clock's time, and citizens who wait."""

    def __init__(self, sessions, clock):
        self.sessions, self.clock = sessions, clock
        with sessions.begin() as session:
            self.people = {
                name: accounts.add_staff(session, name, name, "agent", PASSWORD, now=clock())
                for name in ("first", "second", "boss")
            }
        for post, name in zip(roster.POSTS, self.people):
            self.post(post, name)

    def post(self, post, name):
        day, period = roster.period_at(self.clock())
        with self.sessions.begin() as session:
            who = self.people[name] if name else None
            roster.assign(session, day, period, post, who, by=self.people["boss"], now=self.clock())

    def waits(self, urgent=False):
        """The conversation of a citizen who asked for a person."""
        with self.sessions.begin() as session:
            conversation, _ = log.open_conversation(session, "widget", self.clock())
            self.say(conversation.id, "转人工", session)
            log.queue_hand_over(session, conversation.id, "用户要求", urgent=urgent, now=self.clock())
            return conversation.id

    def say(self, conversation_id, text, session=None):
        def accept(session):
            inbound = InboundMessage(conversation_id, "widget", f"{text}-{self.clock()}", text)
            log.accept(session, inbound, self.clock())

        if session:
            return accept(session)
        with self.sessions.begin() as own:
            accept(own)

    def climb(self):
        """Who is called now: (name or None, level) of each page that rings anew."""
        names = {person.id: name for name, person in self.people.items()}
        with self.sessions.begin() as session:
            return [
                (names.get(page.staff_id), page.level) for page in escalation.climb(session, self.clock())
            ]

    def rings(self, name):
        with self.sessions() as session:
            return [(r.urgent, r.post) for r in escalation.ringing(session, self.people[name])]

    def requeue(self):
        with self.sessions.begin() as session:
            return escalation.requeue_silent(session, self.clock())

    def claim(self, conversation_id, name="first"):
        with self.sessions.begin() as session:
            ownership.claim(session, conversation_id, self.people[name], now=self.clock())

    def answer(self, conversation_id, text, name="first"):
        with self.sessions.begin() as session:
            ownership.say(
                session, conversation_id, self.people[name], text,
                client_message_id=f"m{self.clock().timestamp()}", now=self.clock(),
            )  # fmt: skip


@pytest.fixture
def duty(sessions, clock):
    return Duty(sessions, clock)


def test_an_urgent_hand_over_climbs_every_two_minutes_and_stays_with_the_leader(duty):
    duty.waits(urgent=True)
    assert duty.climb() == [("first", 0)]
    seen = []
    for _ in range(8 * 12):
        duty.clock.advance(seconds=5)
        seen += [(name, level, int((duty.clock() - START).total_seconds())) for name, level in duty.climb()]
    assert seen == [("second", 1, 120), ("boss", 2, 240), ("boss", 2, 360), ("boss", 2, 480)]


START = __import__("tests.harness", fromlist=["Clock"]).Clock().now


def test_any_other_hand_over_has_three_minutes(duty):
    duty.waits()
    assert duty.climb() == [("first", 0)]
    duty.clock.advance(seconds=179)
    assert duty.climb() == []
    duty.clock.advance(seconds=1)
    assert duty.climb() == [("second", 1)]


def test_what_becomes_urgent_does_not_wait_for_the_longer_timer(duty):
    conversation = duty.waits()
    duty.climb()
    duty.clock.advance(seconds=60)
    with duty.sessions.begin() as session:
        log.queue_hand_over(session, conversation, "人身危险", urgent=True, now=duty.clock())
    assert duty.climb() == []
    duty.clock.advance(seconds=60)
    assert duty.climb() == [("second", 1)]


def test_a_claim_ends_the_climbing_and_the_ringing(duty):
    conversation = duty.waits(urgent=True)
    duty.climb()
    assert duty.rings("first") == [(True, "主班")]
    duty.claim(conversation)
    duty.clock.advance(minutes=60)
    assert duty.climb() == [] and duty.rings("first") == []


def test_an_empty_post_is_passed_over_at_once(duty):
    duty.post("主班", None)
    duty.waits()
    assert duty.climb() == [("second", 1)]


def test_a_closed_account_is_an_empty_post(duty):
    with duty.sessions.begin() as session:
        accounts.add_staff(session, "admin", "管理员", "admin", PASSWORD, now=duty.clock())
        accounts.set_active(session, duty.people["first"], False, now=duty.clock())
    duty.waits()
    assert duty.climb() == [("second", 1)]


def test_without_a_leader_the_last_one_on_duty_is_called_again(duty):
    duty.post("带班领导", None)
    duty.waits(urgent=True)
    called = []
    for _ in range(4):
        called += duty.climb()
        duty.clock.advance(minutes=2)
    assert called == [("first", 0), ("second", 1), ("second", 2), ("second", 2)]


def test_with_nobody_on_the_roster_everybody_is_called(duty):
    for post in roster.POSTS:
        duty.post(post, None)
    duty.waits(urgent=True)
    assert duty.climb() == [(None, 2)]
    assert duty.rings("first") == duty.rings("boss") == [(True, "带班领导")]


def test_the_next_shifts_leader_is_called_when_the_shift_changes(duty):
    duty.waits()
    for _ in range(3):
        duty.climb()
        duty.clock.advance(minutes=3)
    duty.clock.advance(hours=1)
    duty.post("带班领导", "second")
    assert duty.climb() == [("second", 2)]


def test_seen_stops_the_ringing_but_not_the_climbing(duty):
    duty.waits(urgent=True)
    duty.climb()
    with duty.sessions.begin() as session:
        [call] = escalation.ringing(session, duty.people["first"])
        with pytest.raises(HotlineError):
            escalation.acknowledge(session, call.page_id, duty.people["second"], now=duty.clock())
        escalation.acknowledge(session, call.page_id, duty.people["first"], now=duty.clock())
    assert duty.rings("first") == []
    duty.clock.advance(minutes=2)
    assert duty.climb() == [("second", 1)]
    assert duty.rings("first") == [] and duty.rings("second") == [(True, "副班")]


def test_who_was_called_before_keeps_hearing_it(duty):
    duty.waits(urgent=True)
    duty.climb()
    duty.clock.advance(minutes=2)
    duty.climb()
    assert duty.rings("first") == [(True, "主班")] and duty.rings("second") == [(True, "副班")]


def test_many_processes_at_once_and_again_call_once(duty):
    for _ in range(5):
        duty.waits(urgent=True)
    for expected in (0, 1, 2):
        made, failed = [], []
        barrier = threading.Barrier(4)

        def work(made=made, failed=failed, barrier=barrier):
            try:
                barrier.wait()
                for _ in range(2):
                    made.extend(duty.climb())
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert [level for _, level in made] == [expected] * 5
        duty.clock.advance(minutes=2)
    with duty.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Page)) == 15


def test_a_silent_agent_loses_the_conversation_and_the_citizen_is_told(duty):
    conversation = duty.waits()
    duty.climb()
    duty.claim(conversation)
    duty.answer(conversation, "您好，请讲。")
    duty.clock.advance(minutes=1)
    duty.say(conversation, "老板不退钱")
    duty.clock.advance(minutes=9, seconds=59)
    assert duty.requeue() == []
    duty.clock.advance(seconds=1)
    assert duty.requeue() == [conversation]
    assert duty.requeue() == []
    with duty.sessions() as session:
        row = session.get(Conversation, conversation)
        assert (row.owner, row.owner_id) == ("bot", None)
        last = session.scalars(select(Message).order_by(Message.seq.desc()).limit(1)).one()
        assert (last.author, last.conversation_id) == ("system", conversation)
        waiting = session.scalars(select(HandOver).where(HandOver.state == "waiting")).one()
        assert (waiting.conversation_id, waiting.level) == (conversation, 0)
    # It rings anew, from the first post on.
    assert duty.climb() == [("first", 0)]
    assert duty.rings("first") == [(False, "主班")]


def test_an_agent_who_claims_and_says_nothing_is_silent_too(duty):
    conversation = duty.waits()
    duty.claim(conversation)
    duty.clock.advance(minutes=9)
    assert duty.requeue() == []
    duty.clock.advance(minutes=1)
    assert duty.requeue() == [conversation]


def test_an_agent_whose_citizen_is_silent_keeps_the_conversation(duty):
    conversation = duty.waits()
    duty.claim(conversation)
    duty.answer(conversation, "请把发票号发来。")
    duty.clock.advance(hours=2)
    assert duty.requeue() == []


def test_the_ten_minutes_count_from_the_citizens_word(duty):
    """The agent was quiet for an hour because the citizen was; a late word does not cost the conversation at once."""
    conversation = duty.waits()
    duty.claim(conversation)
    duty.answer(conversation, "请把发票号发来。")
    duty.clock.advance(hours=1)
    duty.say(conversation, "发票号是…")
    assert duty.requeue() == []
    duty.clock.advance(minutes=5)
    duty.say(conversation, "还在吗")
    duty.clock.advance(minutes=5)
    assert duty.requeue() == [conversation]


def test_who_types_is_not_silent(duty):
    conversation = duty.waits()
    duty.claim(conversation)
    duty.clock.advance(minutes=9)
    with duty.sessions.begin() as session:
        ownership.typing(session, conversation, duty.people["first"], now=duty.clock())
    duty.clock.advance(minutes=9)
    assert duty.requeue() == []


def test_a_reply_that_comes_meanwhile_wins(duty, monkeypatch):
    """Between the look and the taking the agent writes: the conversation stays."""
    conversation = duty.waits()
    duty.claim(conversation)
    duty.clock.advance(minutes=11)
    look = escalation._waits_since

    def late(session, suspect):
        found = look(session, suspect)
        session.execute(
            Conversation.__table__.update()
            .where(Conversation.id == suspect.id)
            .values(owner_active_at=duty.clock())
        )
        return found

    monkeypatch.setattr(escalation, "_waits_since", late)
    assert duty.requeue() == []


def test_many_processes_give_it_back_once(duty):
    conversation = duty.waits()
    duty.claim(conversation)
    duty.clock.advance(minutes=11)
    given = []
    threads = [threading.Thread(target=lambda: given.extend(duty.requeue())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given == [conversation]
    with duty.sessions() as session:
        told = select(func.count()).where(Message.author == "system", Message.body.contains("x").is_not(None))
        assert session.scalar(told) == 2  # joined, requeued


async def test_the_timers_run_and_one_that_fails_does_not_stop_the_other(desk, monkeypatch, logged):
    duty = Duty(desk.sessions, desk.clock)
    conversation = duty.waits()
    duty.claim(conversation)
    duty.clock.advance(minutes=11)

    def climb(session, now):
        raise ZeroDivisionError

    monkeypatch.setattr("bot.desk.serve.climb", climb)
    tick(desk.app)
    assert [e["event"] for e in logged] == ["timer_failed", "requeue_silent"]
    monkeypatch.undo()
    tick(desk.app)
    assert duty.rings("first") == [(False, "主班")]


def test_other_messages_of_the_bot_are_no_word_of_the_agent(duty):
    conversation = duty.waits()
    with duty.sessions.begin() as session:
        row = session.get(Conversation, conversation)
        log.append(session, row, "bot", Reply(text="正在为您转接。", answer={}), duty.clock())
    duty.claim(conversation)
    duty.clock.advance(minutes=10)
    assert duty.requeue() == [conversation]
