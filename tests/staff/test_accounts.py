"""Log-in: what is refused, how long it waits, that nobody learns why; passwords, codes, roles."""

import statistics
import time
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import select

from bot import audit
from bot.errors import HotlineError, Problem
from bot.settings import settings
from bot.staff import accounts, passwords
from bot.staff.accounts import LogInRefused
from bot.staff.models import Role, Staff, StaffSession
from tests.desk.conftest import PASSWORD


def log_in(sessions, username="wang", password=PASSWORD, code=None, *, now, **known):
    with sessions.begin() as session:
        return accounts.log_in(session, username, password, code, now=now, **known)


def refused(sessions, *arguments, **known):
    with pytest.raises(LogInRefused) as caught:
        log_in(sessions, *arguments, **known)
    return caught.value


def who(sessions, token, *, now, **known):
    with sessions() as session:
        found = accounts.session_of(session, token, now=now, **known)
        return found and found.username


def actions(sessions):
    with sessions() as session:
        return [
            (e.actor, e.action, (e.detail or {}).get("reason"))
            for e in session.scalars(select(audit.AuditEntry).order_by(audit.AuditEntry.id))
        ]


def test_a_log_in_opens_a_session_that_only_its_token_shows(sqlite, people, now):
    staff, token = log_in(sqlite, " WANG ", now=now)
    assert (staff.id, len(token) >= 40) == (people["wang"].id, True)
    assert who(sqlite, token, now=now) == "wang"
    assert who(sqlite, token + "x", now=now) is None
    with sqlite() as session:
        [stored] = session.scalars(select(StaffSession))
        assert token not in (stored.token_hash, stored.staff_id)
        assert session.get(Staff, staff.id).last_seen_at == now


def test_page_sessions_go_idle_and_program_sessions_do_not(sqlite, people, at):
    _, page = log_in(sqlite, now=at())
    _, program = log_in(sqlite, now=at(), kind="program")
    assert (who(sqlite, page, now=at(59)), who(sqlite, page, now=at(60))) == ("wang", None)
    assert who(sqlite, program, now=at(719)) == "wang"
    assert who(sqlite, program, now=at(720)) is None
    assert who(sqlite, program, now=at(), kind="page") is None


def test_failures_are_counted_although_the_caller_rolls_back(sqlite, people, now):
    for _ in range(4):
        assert refused(sqlite, password="wrong", now=now).retry_at is None
    with sqlite() as session:
        assert session.get(Staff, people["wang"].id).failed_attempts == 4
    log_in(sqlite, now=now)
    with sqlite() as session:
        assert session.get(Staff, people["wang"].id).failed_attempts == 0


def test_waits_grow_to_a_quarter_of_an_hour_and_the_right_password_waits_too(sqlite, people, now):
    for _ in range(4):
        refused(sqlite, password="wrong", now=now)
    waits = []
    for _ in range(8):
        error = refused(sqlite, password="wrong", now=now)
        waits.append((error.retry_at - now).total_seconds())
        locked = refused(sqlite, now=error.retry_at - timedelta(seconds=1))
        assert (locked.reason, locked.retry_at) == ("locked", error.retry_at)
        now = error.retry_at
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    log_in(sqlite, now=now)


def test_trying_while_locked_does_not_lengthen_the_wait(sqlite, people, at):
    """Or else anybody could keep a colleague out for ever."""
    for _ in range(5):
        refused(sqlite, password="wrong", now=at())
    for _ in range(20):
        refused(sqlite, password="wrong", now=at(0.4))
    log_in(sqlite, now=at(0.5))


def test_every_refusal_looks_the_same_and_only_the_log_tells_why(sqlite, people, now):
    with sqlite.begin() as session:
        accounts.set_active(session, people["li"], False, now=now)
    reasons = [
        refused(sqlite, "nobody", now=now),
        refused(sqlite, "li", now=now),
        refused(sqlite, password="wrong", now=now),
    ]
    assert [error.reason for error in reasons] == ["unknown", "inactive", "password"]
    assert len({(str(error), error.problem, str(error.body())) for error in reasons}) == 1
    assert [a for a in actions(sqlite) if a[1] == "log_in.refused"] == [
        ("unknown", "log_in.refused", "unknown"),
        ("staff:li", "log_in.refused", "inactive"),
        ("staff:wang", "log_in.refused", "password"),
    ]


def test_what_was_typed_as_a_name_is_not_recorded(sqlite, people, now):
    """People type their password there."""
    refused(sqlite, "my-Secret-99", now=now)
    with sqlite() as session:
        for entry in session.scalars(select(audit.AuditEntry)):
            assert "ecret" not in f"{entry.actor}{entry.subject}{entry.detail}".lower()


def test_an_unknown_name_costs_the_same_work(sqlite, people, now, monkeypatch):
    """Counted, not timed: the same number of comparisons with the same parameters."""
    from argon2 import PasswordHasher

    costly = PasswordHasher(time_cost=2, memory_cost=4096, parallelism=1)
    monkeypatch.setattr(passwords, "HASHER", costly)
    passwords._decoy.cache_clear()
    with sqlite.begin() as session:
        session.get(Staff, people["wang"].id).password_hash = passwords.hash_password(PASSWORD)

    def seconds(username):
        taken = []
        with sqlite() as session:
            accounts.check(session, username, "wrong")
            for _ in range(7):
                began = time.perf_counter()
                accounts.check(session, username, "wrong")
                taken.append(time.perf_counter() - began)
        return statistics.median(taken)

    known, unknown = seconds("wang"), seconds("nobody")
    assert 0.4 < known / unknown < 2.5


def test_a_password_changed_while_it_was_compared_does_not_count(sqlite, people, now):
    with sqlite() as session:
        checked = accounts.check(session, "wang", PASSWORD)
    with sqlite.begin() as session:
        accounts.change_password(session, people["wang"], "Song-Hua Jiang 9", now=now)
    assert refused(sqlite, now=now, checked=checked).reason == "password"


def test_a_code_is_needed_fits_one_step_to_either_side_and_works_once(sqlite, people, now):
    secret, uri = accounts.new_totp(people["wang"])
    assert uri.startswith("otpauth://totp/") and secret in uri
    with sqlite.begin() as session:
        accounts.set_totp(session, people["wang"], secret, now=now)
    code = pyotp.TOTP(secret).at(int(now.timestamp()))
    assert refused(sqlite, now=now).reason == "code"
    assert refused(sqlite, code="", now=now).reason == "code"
    assert refused(sqlite, code="١٢٣٤٥٦", now=now).reason == "code"
    log_in(sqlite, code=f" {code[:3]} {code[3:]} ", now=now)
    assert refused(sqlite, code=code, now=now).reason == "code"
    later = now + timedelta(seconds=120)
    stale = pyotp.TOTP(secret).at(int(later.timestamp()) - 60)
    assert refused(sqlite, code=stale, now=later).reason == "code"
    log_in(sqlite, code=pyotp.TOTP(secret).at(int(later.timestamp()) + 30), now=later)
    # An older step than the last one used is a replay as well.
    assert refused(sqlite, code=pyotp.TOTP(secret).at(int(later.timestamp())), now=later).reason == "code"
    with sqlite.begin() as session:
        accounts.set_totp(session, people["wang"], None, now=later)
    log_in(sqlite, now=later + timedelta(minutes=5))


def test_wrong_codes_lock_as_wrong_passwords_do(sqlite, people, now):
    with sqlite.begin() as session:
        accounts.set_totp(session, people["wang"], accounts.new_totp(people["wang"])[0], now=now)
    for _ in range(5):
        refused(sqlite, code="000000", now=now)
    assert refused(sqlite, code="000000", now=now).reason == "locked"


def test_the_secret_lies_encrypted(sqlite, people, now):
    from sqlalchemy import text

    secret, _ = accounts.new_totp(people["wang"])
    with sqlite.begin() as session:
        accounts.set_totp(session, people["wang"], secret, now=now)
        raw = session.scalar(text("SELECT totp_secret FROM staff WHERE username = 'wang'"))
    assert secret.encode() not in bytes(raw)


@pytest.mark.parametrize(
    "password",
    ["", "Short-1a", "onlylowercase1", "ALLUPPERCASE12", "Wang-Min 2026x", "P@ssword2026!!", "Admin12345678!",
     "Hotline12315!", "aaaaaaaaaaA1", "x" * 129 + "A1"],
)  # fmt: skip
def test_weak_passwords_are_refused(password):
    with pytest.raises(HotlineError) as caught:
        passwords.check_policy("wang", password)
    assert caught.value.problem is Problem.WEAK_PASSWORD


def test_generated_passwords_fit_the_policy_and_differ():
    made = {passwords.generate() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        passwords.check_policy("admin", password)


def test_hashes_are_argon2id_and_grow_with_the_parameters(sqlite, people, now):
    with sqlite.begin() as session:
        assert session.get(Staff, people["wang"].id).password_hash.startswith("$argon2id$")
    import argon2

    stronger = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    old, passwords.HASHER = passwords.HASHER, stronger
    try:
        log_in(sqlite, now=now)
    finally:
        passwords.HASHER = old
    with sqlite() as session:
        assert "m=16,t=2,p=1" in session.get(Staff, people["wang"].id).password_hash
    log_in(sqlite, now=now)


def test_the_real_parameters_are_those_of_the_rfc():
    import importlib

    import bot.staff.passwords

    fresh = importlib.util.module_from_spec(bot.staff.passwords.__spec__)
    bot.staff.passwords.__spec__.loader.exec_module(fresh)
    assert (fresh.HASHER.memory_cost, fresh.HASHER.time_cost) == (64 * 1024, 3)


def test_a_new_password_ends_the_other_sessions(sqlite, people, now):
    _, mine = log_in(sqlite, now=now)
    _, other = log_in(sqlite, now=now)
    with sqlite.begin() as session:
        accounts.change_password(session, people["wang"], "Song-Hua Jiang 9", now=now, keep=mine)
    assert (who(sqlite, mine, now=now), who(sqlite, other, now=now)) == ("wang", None)
    assert refused(sqlite, now=now).reason == "password"


def test_a_closed_account_has_no_sessions(sqlite, people, now):
    _, token = log_in(sqlite, now=now)
    with sqlite.begin() as session:
        accounts.set_active(session, people["wang"], False, now=now)
        accounts.set_active(session, people["wang"], True, now=now)
    assert who(sqlite, token, now=now) is None


def test_the_last_administrator_stays(sqlite, people, now):
    for change in (
        lambda s: accounts.set_active(s, people["sun"], False, now=now),
        lambda s: accounts.set_role(s, people["sun"], "agent", now=now),
    ):
        with pytest.raises(HotlineError) as caught, sqlite.begin() as session:
            change(session)
        assert caught.value.problem is Problem.LAST_ADMIN
    with sqlite.begin() as session:
        accounts.set_role(session, people["zhao"], Role.ADMIN, now=now)
        accounts.set_role(session, people["sun"], Role.AGENT, now=now)
        assert [s.role for s in accounts.list_staff(session)] == ["agent", "agent", "agent", "admin"]


@pytest.mark.parametrize(
    ("username", "name", "problem"),
    [
        ("WANG", "王敏", Problem.USERNAME_TAKEN),
        ("", "王敏", Problem.MALFORMED),
        ("a b", "王敏", Problem.MALFORMED),
        ("a:b", "王敏", Problem.MALFORMED),
        ("x" * 33, "王敏", Problem.MALFORMED),
        ("new", " ", Problem.MALFORMED),
    ],
)
def test_accounts_that_cannot_be(sqlite, people, now, username, name, problem):
    with pytest.raises(HotlineError) as caught, sqlite.begin() as session:
        accounts.add_staff(session, username, name, "agent", PASSWORD, now=now)
    assert caught.value.problem is problem


def test_the_first_administrator_is_made_once_and_can_log_in(sqlite, now):
    with sqlite.begin() as session:
        username, password = accounts.first_admin(session, now=now)
        assert accounts.first_admin(session, now=now) is None
    staff, _ = log_in(sqlite, username, password, now=now)
    assert (staff.role, len(password)) == ("admin", 20)


def test_unknown_accounts_are_named_so(sqlite, people):
    for find in (accounts.find_staff, accounts.staff_by_id):
        with pytest.raises(HotlineError) as caught, sqlite() as session:
            find(session, "nobody")
        assert caught.value.problem is Problem.UNKNOWN_STAFF


def test_what_was_done_to_accounts_stands_in_the_log(sqlite, people, now):
    _, token = log_in(sqlite, now=now)
    with sqlite.begin() as session:
        accounts.log_out(session, token, now=now)
        accounts.log_out(session, token, now=now)
        accounts.set_role(session, people["wang"], "lead", now=now, by="staff:sun")
        accounts.set_active(session, people["wang"], False, now=now, by="staff:sun")
    assert [a[:2] for a in actions(sqlite)[4:]] == [
        ("staff:wang", "log_in"),
        ("staff:wang", "log_out"),
        ("staff:sun", "staff.role"),
        ("staff:sun", "staff.inactive"),
    ]
    with sqlite() as session:
        assert audit.verify(session) is None


def test_parallel_guesses_are_all_counted(sessions, now):
    """Twenty guesses at once get no more tries than twenty in a row; PostgreSQL and SQLite."""
    from concurrent.futures import ThreadPoolExecutor

    with sessions.begin() as session:
        accounts.add_staff(session, "wang", "王敏", "agent", PASSWORD, now=now)
    with sessions() as session:
        checked = accounts.check(session, "wang", "wrong")

    def guess(_):
        return refused(sessions, now=now, checked=checked).reason

    with ThreadPoolExecutor(8) as pool:
        reasons = list(pool.map(guess, range(20)))
    assert (reasons.count("password"), reasons.count("locked")) == (5, 15)
    assert settings().desk_session_hours == 12
