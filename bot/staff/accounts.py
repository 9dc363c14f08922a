"""Accounts of staff: log-in with lock-out and one-time codes, sessions, changes. Each is in the audit log.

Every refusal of a log-in looks the same outside and costs the same time, so that nobody learns which names exist,
which are locked, or that a password was right while the code was not. `LogInRefused.reason` is for the audit log.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NoReturn

import pyotp
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bot import audit
from bot.errors import HotlineError, Problem
from bot.settings import settings
from bot.staff import passwords
from bot.staff.models import Role, Staff, StaffSession

FREE_ATTEMPTS = 5  # failures in a row before the first wait
FIRST_WAIT = timedelta(seconds=30)  # doubled by every further failure
LONGEST_WAIT = timedelta(minutes=15)
STEP = 30  # seconds of a one-time code, RFC 6238
TOUCH = timedelta(seconds=60)  # `last_used_at` is written at most this often
ISSUER = "吉林12315值班台"


class LogInRefused(HotlineError):
    """No log-in. `reason` (unknown, inactive, locked, password, code) and `retry_at` are not for the caller."""

    def __init__(self, reason: str, retry_at: datetime | None = None) -> None:
        super().__init__(Problem.LOG_IN_REFUSED)
        self.reason = reason
        self.retry_at = retry_at


@dataclass(frozen=True)
class Checked:
    """A password that was compared before the transaction began; `password_hash` is what it was compared with."""

    username: str
    password_hash: str | None = field(repr=False)
    right: bool


def check(session: Session, username: str, password: str) -> Checked:
    """Compare a password; takes about 0.1 s, so do it in a reading session, never while holding a write lock."""
    username = normal_username(username)
    known = session.scalar(select(Staff.password_hash).where(Staff.username == username))
    return Checked(username, known, passwords.matches(known, password))


def log_in(
    session: Session,
    username: str,
    password: str,
    code: str | None,
    *,
    now: datetime,
    kind: str = "page",
    checked: Checked | None = None,
) -> tuple[Staff, str]:
    """The account and the token of a new session; raises `LogInRefused`.

    A refusal commits the session at once: the count of failures must outlive the caller's rollback. After five
    failures in a row the account waits 30 s, doubling up to 15 min; while it waits the right password is refused
    as well. `code` is the one-time code, needed when the account has TOTP; each code works once.
    """
    checked = checked or check(session, username, password)
    staff = session.scalar(
        select(Staff)
        .where(Staff.username == checked.username)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if staff is None:
        _refuse(session, None, "unknown", None, now)
    # A password that was changed in between was compared with the old hash.
    right = checked.right and checked.password_hash == staff.password_hash
    if staff.locked_until and staff.locked_until > now:
        _refuse(session, staff, "locked", staff.locked_until, now)
    step = _step_of(staff.totp_secret, code, now) if staff.totp_secret else None
    wrong_code = staff.totp_secret is not None and (step is None or step <= (staff.totp_last or 0))
    if not right or wrong_code or not staff.active:
        staff.failed_attempts += 1
        if staff.failed_attempts >= FREE_ATTEMPTS:
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(staff.failed_attempts - FREE_ATTEMPTS, 10))
            staff.locked_until = now + wait
        reason = "inactive" if not staff.active else "password" if not right else "code"
        _refuse(session, staff, reason, staff.locked_until, now)
    staff.failed_attempts, staff.locked_until, staff.last_seen_at = 0, None, now
    if step is not None:
        staff.totp_last = step
    if passwords.outdated(staff.password_hash):
        staff.password_hash = passwords.hash_password(password)
    token = open_session(session, staff, now=now, kind=kind)
    audit.record(session, actor(staff), "log_in", actor(staff), {"kind": kind}, now=now)
    return staff, token


def open_session(
    session: Session, staff: Staff, *, now: datetime, kind: str = "page", lasts: timedelta | None = None
) -> str:
    """A token for somebody who is known already; shown once, stored as a hash."""
    token = secrets.token_urlsafe(32)
    session.add(
        StaffSession(
            token_hash=_token_hash(token),
            staff_id=staff.id,
            kind=kind,
            created_at=now,
            last_used_at=now,
            expires_at=now + (lasts or timedelta(hours=settings().desk_session_hours)),
        )
    )
    session.flush()
    return token


def session_of(session: Session, token: str, *, now: datetime, kind: str | None = None) -> Staff | None:
    """Who holds this token, if the session lives: not ended, not expired, not idle, the account active.

    `kind` "page" asks for a page's session. Only sessions of pages go idle; a program's ends by its expiry.
    """
    found = session.execute(
        select(Staff, StaffSession)
        .join(StaffSession, StaffSession.staff_id == Staff.id)
        .where(
            StaffSession.token_hash == _token_hash(token),
            StaffSession.ended_at.is_(None),
            StaffSession.expires_at > now,
            Staff.active.is_(True),
        )
    ).first()
    if found is None or (kind and found.StaffSession.kind != kind):
        return None
    idle = timedelta(minutes=settings().desk_session_idle_minutes)
    if found.StaffSession.kind == "page" and found.StaffSession.last_used_at + idle <= now:
        return None
    staff: Staff = found.Staff
    return staff


def touch(session: Session, token: str, *, now: datetime) -> None:
    """Note that the session is in use."""
    session.execute(
        update(StaffSession)
        .where(StaffSession.token_hash == _token_hash(token), StaffSession.ended_at.is_(None))
        .values(last_used_at=now)
    )


def log_out(session: Session, token: str, *, now: datetime) -> None:
    """End one session; nothing happens when it has ended."""
    found = session.get(StaffSession, _token_hash(token))
    if found and found.ended_at is None:
        found.ended_at = now
        staff = session.get_one(Staff, found.staff_id)
        audit.record(session, actor(staff), "log_out", actor(staff), now=now)


def end_sessions(session: Session, staff: Staff, *, now: datetime, keep: str | None = None) -> None:
    """End all sessions of an account, but the one of the token `keep`."""
    others = update(StaffSession).where(StaffSession.staff_id == staff.id, StaffSession.ended_at.is_(None))
    if keep:
        others = others.where(StaffSession.token_hash != _token_hash(keep))
    session.execute(others.values(ended_at=now))


def add_staff(
    session: Session,
    username: str,
    name: str,
    role: Role | str,
    password: str,
    *,
    now: datetime,
    by: str = "system",
    must_change: bool = False,
) -> Staff:
    """A new account. `must_change` holds it at the password page until the first password is replaced.

    Raises `HotlineError`: USERNAME_TAKEN, WEAK_PASSWORD, MALFORMED for a name that is no name.
    """
    username, name = normal_username(username), name.strip()
    if not username or not name or len(username) > 32 or len(name) > 32 or not username.isprintable():
        raise HotlineError(Problem.MALFORMED)
    if set(username) & set(" :/\\\"'<>&?#"):
        raise HotlineError(Problem.MALFORMED)
    passwords.check_policy(username, password)
    if session.scalar(select(Staff.id).where(Staff.username == username)):
        raise HotlineError(Problem.USERNAME_TAKEN)
    staff = Staff(
        id=str(uuid.uuid4()),
        username=username,
        name=name,
        role=Role(role).value,
        password_hash=passwords.hash_password(password),
        must_change_password=must_change,
        active=True,
        failed_attempts=0,
        created_at=now,
    )
    session.add(staff)
    session.flush()
    audit.record(session, by, "staff.add", actor(staff), {"role": staff.role}, now=now)
    return staff


def change_password(
    session: Session,
    staff: Staff,
    password: str,
    *,
    now: datetime,
    by: str | None = None,
    must_change: bool = False,
    keep: str | None = None,
) -> None:
    """Set a password and end every session but `keep`'s; lifts a lock. Raises WEAK_PASSWORD."""
    passwords.check_policy(staff.username, password)
    if passwords.matches(staff.password_hash, password):
        raise HotlineError(Problem.WEAK_PASSWORD)
    mine = session.get_one(Staff, staff.id)
    mine.password_hash = passwords.hash_password(password)
    mine.must_change_password = must_change
    mine.failed_attempts, mine.locked_until = 0, None
    end_sessions(session, mine, now=now, keep=keep)
    audit.record(session, by or actor(mine), "staff.password", actor(mine), now=now)


def new_totp(staff: Staff) -> tuple[str, str]:
    """A fresh secret and its `otpauth://` address for an authenticator; in force after `set_totp`."""
    secret = pyotp.random_base32()
    return secret, pyotp.TOTP(secret, interval=STEP).provisioning_uri(name=staff.username, issuer_name=ISSUER)


def set_totp(
    session: Session,
    staff: Staff,
    secret: str | None,
    *,
    now: datetime,
    code: str | None = None,
    by: str | None = None,
) -> None:
    """Switch one-time codes on with a secret, or off with None.

    With `code` (somebody sets up their own) the code must fit, else WRONG_CODE; it counts as used.
    """
    mine = session.get_one(Staff, staff.id)
    step = None
    if secret is not None and code is not None:
        step = _step_of(secret, code, now)
        if step is None:
            raise HotlineError(Problem.WRONG_CODE)
    mine.totp_secret, mine.totp_last = secret, step
    action = "staff.totp_on" if secret else "staff.totp_off"
    audit.record(session, by or actor(mine), action, actor(mine), now=now)


def set_active(session: Session, staff: Staff, active: bool, *, now: datetime, by: str = "system") -> None:
    """Open or close an account; closing ends its sessions. Raises LAST_ADMIN."""
    mine = session.get_one(Staff, staff.id)
    if not active:
        _not_the_last_admin(session, mine)
        end_sessions(session, mine, now=now)
    mine.active = active
    audit.record(session, by, "staff.active" if active else "staff.inactive", actor(mine), now=now)


def set_role(session: Session, staff: Staff, role: Role | str, *, now: datetime, by: str = "system") -> None:
    """Change a role, at once for open sessions as well. Raises LAST_ADMIN."""
    mine = session.get_one(Staff, staff.id)
    new = Role(role).value
    if new != Role.ADMIN.value:
        _not_the_last_admin(session, mine)
    old, mine.role = mine.role, new
    audit.record(session, by, "staff.role", actor(mine), {"from": old, "to": new}, now=now)


def list_staff(session: Session) -> list[Staff]:
    """All accounts by name, closed ones last."""
    return list(session.scalars(select(Staff).order_by(Staff.active.desc(), Staff.username)))


def find_staff(session: Session, username: str) -> Staff:
    """The account of a user name; raises UNKNOWN_STAFF."""
    found = session.scalar(select(Staff).where(Staff.username == normal_username(username)))
    if found is None:
        raise HotlineError(Problem.UNKNOWN_STAFF)
    return found


def staff_by_id(session: Session, staff_id: str) -> Staff:
    """The account of an id; raises UNKNOWN_STAFF."""
    found = session.get(Staff, staff_id)
    if found is None:
        raise HotlineError(Problem.UNKNOWN_STAFF)
    return found


def first_admin(session: Session, *, now: datetime) -> tuple[str, str] | None:
    """Name and generated password of the first account, or None when there are accounts already.

    Its password has 115 bits, is shown once on the operator's terminal and stands nowhere.
    """
    if session.scalar(select(func.count()).select_from(Staff)):
        return None
    password = passwords.generate()
    staff = add_staff(session, "admin", "管理员", Role.ADMIN, password, now=now)
    return staff.username, password


def actor(staff: Staff) -> str:
    """How the audit log names somebody."""
    return f"staff:{staff.username}"


def normal_username(username: str) -> str:
    """User names are compared without case and surrounding blanks."""
    return username.strip().lower()


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _step_of(secret: str | None, code: str | None, now: datetime) -> int | None:
    """The time step a code belongs to; one step to either side is allowed for slow clocks."""
    digits = "".join((code or "").split())
    if not secret or not re.fullmatch(r"[A-Z2-7]{32}", secret) or not re.fullmatch(r"[0-9]{6}", digits):
        return None
    totp, current = pyotp.TOTP(secret, interval=STEP), int(now.timestamp()) // STEP
    for step in (current, current - 1, current + 1):
        if secrets.compare_digest(totp.generate_otp(step), digits):
            return step
    return None


def _refuse(
    session: Session, staff: Staff | None, reason: str, retry_at: datetime | None, now: datetime
) -> NoReturn:
    # A name that is none is not recorded: people type their password there.
    who = actor(staff) if staff else "unknown"
    audit.record(session, who, "log_in.refused", who, {"reason": reason}, now=now)
    session.commit()
    raise LogInRefused(reason, retry_at)


def _not_the_last_admin(session: Session, staff: Staff) -> None:
    others = session.scalar(
        select(func.count()).where(
            Staff.role == Role.ADMIN.value, Staff.active.is_(True), Staff.id != staff.id
        )
    )
    if staff.role == Role.ADMIN.value and staff.active and not others:
        raise HotlineError(Problem.LAST_ADMIN)
