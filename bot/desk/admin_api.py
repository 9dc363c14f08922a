"""The desk's calls on itself: own account, staff, roster, shift reports, calls to staff, switches, audit, retention.

Each change is in the audit log; what each needs is in `bot.staff.permissions`.
"""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import audit
from bot.cases.calendar import SHANGHAI, local_date
from bot.conversations import switches
from bot.conversations.models import Switch
from bot.desk import escalation, handover, retention
from bot.desk.auth import CurrentStaff, held, requires
from bot.desk.work import read, write
from bot.errors import HotlineError, Problem
from bot.staff import accounts, passwords, roster
from bot.staff.models import Role, ShiftReport, Staff
from bot.staff.permissions import PERMISSIONS, Permission

router = APIRouter(prefix="/api/v1", tags=["desk: administration"])

Planner = Annotated[Staff, requires(Permission.ROSTER)]
Switcher = Annotated[Staff, requires(Permission.SWITCHES)]
Auditor = Annotated[Staff, requires(Permission.AUDIT)]
Manager = Annotated[Staff, requires(Permission.STAFF)]
Eraser = Annotated[Staff, requires(Permission.ERASE)]
Answerer = Annotated[Staff, requires(Permission.ANSWER)]

MOST_DAYS = 62  # of the roster at once
AUDIT_PAGE = 100


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OwnPassword(_Body):
    """The password in force and the one to come."""

    old: str = Field(max_length=256)
    new: str = Field(max_length=256)


class NewStaff(_Body):
    """An account; its first password is generated and shown once."""

    username: str = Field(min_length=1, max_length=32)
    name: str = Field(min_length=1, max_length=32)
    role: Role = Role.AGENT


class StaffChange(_Body):
    """What is given is changed."""

    role: Role | None = None
    active: bool | None = None


class TotpRequest(_Body):
    """One-time codes on (a new secret comes back) or off."""

    on: bool


class Assignment(_Body):
    """A post of the roster; `username` null takes it off."""

    day: date
    period: str = Field(max_length=2)
    post: str = Field(max_length=4)
    username: str | None = Field(None, max_length=32)


class CopyWeek(_Body):
    """First day of the week to copy, and of the week to fill."""

    from_day: date
    to_day: date


class Remarks(_Body):
    """The outgoing shift's own words."""

    remarks: str = Field("", max_length=2000)


class SwitchRequest(_Body):
    """A switch, its value and the reason on record (`bot.conversations.switches`)."""

    key: str = Field(max_length=40)
    value: bool | str
    reason: str = Field(max_length=255)


class Person(_Body):
    """A phone number, in the body so that it stands in no access log."""

    phone: str = Field(min_length=5, max_length=32)


class Erasure(Person):
    """Whose data, and why."""

    reason: str = Field(max_length=255)


def _local(at: datetime | None) -> str | None:
    return at.astimezone(SHANGHAI).isoformat(timespec="seconds") if at else None


def _account(staff: Staff) -> dict[str, Any]:
    return {
        "username": staff.username,
        "name": staff.name,
        "role": staff.role,
        "role_name": Role(staff.role).label,
        "active": staff.active,
        "totp": staff.totp_secret is not None,
        "must_change_password": staff.must_change_password,
        "locked_until": _local(staff.locked_until),
        "last_seen_at": _local(staff.last_seen_at),
    }


# -- own account ------------------------------------------------------------------------------------


@router.get("/me")
async def me(request: Request, staff: CurrentStaff) -> dict[str, Any]:
    """Who is logged in and what they may do; `held` names what they must do first."""
    problem = held(staff, request.app.state.config)
    allowed = sorted(p.value for p in PERMISSIONS[Role(staff.role)])
    return _account(staff) | {"permissions": allowed, "held": problem.code if problem else None}


@router.post("/me/password")
async def own_password(request: Request, staff: CurrentStaff, body: OwnPassword) -> dict[str, Any]:
    """Replace the own password; every other log-in ends."""
    state = request.app.state
    passwords.check_policy(staff.username, body.new)
    # A stolen log-in must not become a way of guessing the password.
    if wait := state.log_ins.take(f"own:{staff.id}"):
        raise HotlineError(Problem.TOO_MANY, retry_after=wait)
    async with state.hashing:
        checked = await read(request, lambda s, _: accounts.check(s, staff.username, body.old))
        if not checked.right:
            raise HotlineError(Problem.LOG_IN_REFUSED)
        await write(
            request,
            lambda s, now: accounts.change_password(s, staff, body.new, now=now, keep=request.state.token),
        )
    return {"changed": True}


# -- accounts ---------------------------------------------------------------------------------------


@router.get("/staff")
async def list_staff(request: Request, _: Manager) -> dict[str, Any]:
    """All accounts."""
    return {"staff": await read(request, lambda s, _: [_account(one) for one in accounts.list_staff(s)])}


@router.get("/colleagues")
async def colleagues(request: Request, _: CurrentStaff) -> dict[str, Any]:
    """Names of the open accounts, to hand a conversation on or read the roster."""

    def work(session: Session, _: datetime) -> list[dict[str, str]]:
        found = [one for one in accounts.list_staff(session) if one.active]
        return [{"username": s.username, "name": s.name, "role": Role(s.role).label} for s in found]

    return {"colleagues": await read(request, work)}


@router.post("/staff", status_code=201)
async def add_staff(request: Request, staff: Manager, body: NewStaff) -> dict[str, Any]:
    """Make an account; `password` is shown this once and must be replaced at the first log-in."""
    password = passwords.generate()

    def work(session: Session, now: datetime) -> dict[str, Any]:
        made = accounts.add_staff(
            session, body.username, body.name, body.role, password,
            now=now, by=accounts.actor(staff), must_change=True,
        )  # fmt: skip
        return _account(made)

    return await write(request, work) | {"password": password}


@router.patch("/staff/{username}")
async def change_staff(request: Request, staff: Manager, username: str, body: StaffChange) -> dict[str, Any]:
    """Role, open or closed; in force at once for open log-ins."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        found, by = accounts.find_staff(session, username), accounts.actor(staff)
        if body.role is not None and body.role.value != found.role:
            accounts.set_role(session, found, body.role, now=now, by=by)
        if body.active is not None and body.active != found.active:
            accounts.set_active(session, found, body.active, now=now, by=by)
        return _account(found)

    return await write(request, work)


@router.post("/staff/{username}/password")
async def reset_password(request: Request, staff: Manager, username: str) -> dict[str, Any]:
    """Generate a password, shown this once; lifts a lock and ends the account's log-ins."""
    password = passwords.generate()

    def work(session: Session, now: datetime) -> None:
        found = accounts.find_staff(session, username)
        by = accounts.actor(staff)
        accounts.change_password(session, found, password, now=now, by=by, must_change=True)

    await write(request, work)
    return {"username": username, "password": password}


@router.post("/staff/{username}/totp")
async def switch_totp(request: Request, staff: Manager, username: str, body: TotpRequest) -> dict[str, Any]:
    """One-time codes of somebody who lost or gets an authenticator; the secret is shown this once."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        found = accounts.find_staff(session, username)
        secret, address = accounts.new_totp(found) if body.on else (None, None)
        accounts.set_totp(session, found, secret, now=now, by=accounts.actor(staff))
        return {"username": found.username, "secret": secret, "address": address}

    return await write(request, work)


# -- roster -----------------------------------------------------------------------------------------


@router.get("/roster")
async def read_roster(
    request: Request,
    _: CurrentStaff,
    start: date | None = None,
    days: Annotated[int, Query(ge=1, le=MOST_DAYS)] = 7,
) -> dict[str, Any]:
    """The roster from a day on (today), who is on duty now, and every post that nobody holds."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        first = start or local_date(now)
        day, period = roster.period_at(now)
        duty = roster.on_duty(session, now)
        return {
            "now": {
                "day": day, "period": period, "until": _local(roster.ends_at(now)),
                "posts": {post: who and who.name for post, who in duty.items()},
            },
            "shifts": [
                {"day": d, "period": p, "post": q, "username": who and who.username, "name": who and who.name}
                for (d, p, q), who in roster.plan(session, first, days).items()
            ],
            "gaps": [roster.gap_json(gap) for gap in roster.gaps(session, first, days)],
        }  # fmt: skip

    return await read(request, work)


@router.put("/roster")
async def assign(request: Request, staff: Planner, body: Assignment) -> dict[str, Any]:
    """Enter somebody for a post, or take it off."""

    def work(session: Session, now: datetime) -> None:
        who = accounts.find_staff(session, body.username) if body.username else None
        roster.assign(session, body.day, body.period, body.post, who, by=staff, now=now)

    await write(request, work)
    return body.model_dump(mode="json")


@router.post("/roster/copy")
async def copy_week(request: Request, staff: Planner, body: CopyWeek) -> dict[str, Any]:
    """Fill a week like another one, where nobody is entered yet."""
    added = await write(
        request, lambda s, now: roster.copy_week(s, body.from_day, body.to_day, by=staff, now=now)
    )
    return {"added": added}


# -- between shifts ---------------------------------------------------------------------------------


def _report(session: Session, report: ShiftReport) -> dict[str, Any]:
    names = dict(
        session.execute(
            select(Staff.id, Staff.name).where(Staff.id.in_([report.written_by, report.taken_by or ""]))
        ).all()
    )
    return {
        "id": report.id,
        "day": report.day.isoformat(),
        "period": report.period,
        "written_by": names.get(report.written_by),
        "written_at": _local(report.written_at),
        "taken_by": names.get(report.taken_by or ""),
        "taken_at": _local(report.taken_at),
        "content": report.content,
    }


@router.get("/shift-reports")
async def list_reports(request: Request, _: Answerer) -> dict[str, Any]:
    """The newest shift reports (交接班记录)."""
    return {"reports": await read(request, lambda s, _: [_report(s, one) for one in roster.reports(s)])}


@router.get("/shift-reports/draft")
async def draft_report(request: Request, _: Answerer) -> dict[str, Any]:
    """What would be handed over now."""
    return {"items": await read(request, handover.open_items)}


@router.post("/shift-reports", status_code=201)
async def write_report(request: Request, staff: Answerer, body: Remarks) -> dict[str, Any]:
    """Hand the shift over: the open items as they are now, and remarks."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        items = handover.open_items(session, now)
        return _report(session, roster.write_report(session, staff, items, body.remarks, now=now))

    return await write(request, work)


@router.post("/shift-reports/{report_id}/sign")
async def sign_report(request: Request, staff: Answerer, report_id: int) -> dict[str, Any]:
    """Take the shift over; by somebody else than who handed it over."""
    return await write(request, lambda s, now: _report(s, roster.take_over(s, report_id, staff, now=now)))


# -- calls to staff ---------------------------------------------------------------------------------


@router.get("/calls")
async def calls(request: Request, staff: CurrentStaff) -> dict[str, Any]:
    """The unanswered hand-overs that ring for this staff member (呼叫), and promised call-backs that are late."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        return {
            "calls": [
                {
                    "id": c.page_id, "conversation_id": c.conversation_id, "reason": c.reason,
                    "urgent": c.urgent, "post": c.post, "since": _local(c.since), "everyone": c.everyone,
                }
                for c in escalation.ringing(session, staff)
            ],
            "overdue_call_backs": [
                {"id": c.id, "conversation_id": c.conversation_id, "due_at": _local(c.due_at)}
                for c in handover.overdue_call_backs(session, now)
            ],
        }  # fmt: skip

    return await read(request, work)


@router.post("/calls/{page_id}/acknowledge")
async def acknowledge(request: Request, staff: CurrentStaff, page_id: int) -> dict[str, Any]:
    """Seen: it stops ringing here; it goes on climbing until somebody takes the conversation."""
    await write(request, lambda s, now: escalation.acknowledge(s, page_id, staff, now=now))
    return {"acknowledged": True}


# -- switches ---------------------------------------------------------------------------------------


def _switch(switch: Switch) -> dict[str, Any]:
    return {
        "key": switch.key,
        "value": switch.value,
        "reason": switch.reason,
        "set_by": switch.set_by,
        "set_at": _local(switch.set_at),
    }


@router.get("/switches")
async def list_switches(request: Request, _: Switcher) -> dict[str, Any]:
    """What is in force and the record of changes."""

    def work(session: Session, _: datetime) -> dict[str, Any]:
        return {
            "in_force": [_switch(one) for one in switches.in_force(session)],
            "history": [_switch(one) for one in switches.history(session)],
        }

    return await read(request, work)


@router.post("/switches", status_code=201)
async def set_switch(request: Request, staff: Switcher, body: SwitchRequest) -> dict[str, Any]:
    """Turn a switch, in force within seconds in every process."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        by = accounts.actor(staff)
        made = switches.set_switch(session, body.key, body.value, reason=body.reason, by=by, now=now)
        detail = {"value": body.value, "reason": made.reason}
        audit.record(session, by, "switch", f"switch:{body.key}", detail, now=now)
        return _switch(made)

    return await write(request, work)


# -- audit ------------------------------------------------------------------------------------------


@router.get("/audit")
async def read_audit(
    request: Request,
    _: Auditor,
    actor: Annotated[str | None, Query(max_length=64)] = None,
    subject: Annotated[str | None, Query(max_length=80)] = None,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> dict[str, Any]:
    """Entries, newest first; `before` an entry's number gives the next page."""

    def work(session: Session, _: datetime) -> list[dict[str, Any]]:
        query = select(audit.AuditEntry).order_by(audit.AuditEntry.id.desc()).limit(AUDIT_PAGE)
        for column, wanted in ((audit.AuditEntry.actor, actor), (audit.AuditEntry.subject, subject)):
            if wanted:
                query = query.where(column == wanted)
        if before:
            query = query.where(audit.AuditEntry.id < before)
        return [
            {
                "id": e.id, "at": _local(e.at), "actor": e.actor, "action": e.action,
                "subject": e.subject, "detail": e.detail,
            }
            for e in session.scalars(query)
        ]  # fmt: skip

    return {"entries": await read(request, work)}


@router.get("/audit/verify")
async def verify_audit(request: Request, _: Auditor) -> dict[str, Any]:
    """Recompute the chain; `broken` names the first entry that does not fit."""

    def work(session: Session, _: datetime) -> dict[str, Any]:
        broken = audit.verify(session)
        number, last = audit.head(session)
        return {"holds": broken is None, "broken": broken and str(broken), "entries": number, "head": last}

    return await read(request, work)


# -- retention --------------------------------------------------------------------------------------


@router.get("/retention")
async def preview_retention(request: Request, _: Eraser) -> dict[str, Any]:
    """What is over its time now."""
    return await read(request, lambda s, now: retention.preview(s, now=now).as_json())


@router.post("/retention/run")
async def run_retention(request: Request, staff: Eraser) -> dict[str, Any]:
    """Erase what is over its time."""
    state = request.app.state
    done = await asyncio.to_thread(
        retention.run, state.sessions, now=state.now(), actor=accounts.actor(staff)
    )
    return done.as_json()


@router.post("/persons/export")
async def export_person(request: Request, staff: Eraser, body: Person) -> dict[str, Any]:
    """Everything stored about one person (个人信息保护法 Art 45)."""
    by = accounts.actor(staff)
    return await write(request, lambda s, now: retention.export_person(s, body.phone, actor=by, now=now))


@router.post("/persons/erase")
async def erase_person(request: Request, staff: Eraser, body: Erasure) -> dict[str, Any]:
    """Erase one person's closed matters (Art 47); `kept` names the open cases."""
    state = request.app.state
    done = await asyncio.to_thread(
        retention.erase_person, state.sessions, body.phone, reason=body.reason,
        actor=accounts.actor(staff), now=state.now(),
    )  # fmt: skip
    return done.as_json()
