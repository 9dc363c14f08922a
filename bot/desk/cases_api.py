"""The desk's calls on cases: queue and search, one case, what is done to it, files. Staff log-in needed.

Personal data is masked; `?unmask=reason` needs the permission and leaves an audit entry on every read. What a call
changes, and its audit entry, are committed together.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import audit
from bot.cases import dispatch, display, exports, follow_ups, linking, search, supervision, workflow
from bot.cases.calendar import local_date
from bot.cases.drafts import CaseError
from bot.cases.models import STATUSES, Case, CaseType
from bot.cases.receipts import parse_number
from bot.cases.routing import table
from bot.conversations import attachments
from bot.conversations.models import Attachment
from bot.crypto import mask_phone, mask_text
from bot.desk.auth import requires
from bot.desk.models import Note
from bot.errors import HotlineError, Problem
from bot.outbox import queue
from bot.staff.models import Staff
from bot.staff.permissions import Permission, may

router = APIRouter(prefix="/api/v1", tags=["desk: cases"])
Result = TypeVar("Result")
Reader = Annotated[Staff, requires(Permission.SEE_CASES)]
Editor = Annotated[Staff, requires(Permission.EDIT_CASE)]
Dispatcher = Annotated[Staff, requires(Permission.DISPATCH)]
Supervisor = Annotated[Staff, requires(Permission.SUPERVISE)]
Merger = Annotated[Staff, requires(Permission.MERGE)]
Exporter = Annotated[Staff, requires(Permission.EXPORT)]
Mender = Annotated[Staff, requires(Permission.DEAD_LETTERS)]
Words = Annotated[str, Field(max_length=2000)]
Unmask = Annotated[str | None, Query(max_length=200)]
LEAST_REASON = 2  # characters


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ChangeRequest(_Body):
    """What may be changed of a case; each part that is given is one event. `reason` for fields and urgency.

    `updated_at` is the case's as it was read: if somebody changed it since, nothing is done (409).
    """

    updated_at: datetime | None = None
    fields: dict[str, Annotated[str, Field(max_length=4000)]] | None = None
    urgent: bool | None = None
    assignee: Annotated[str | None, Field(max_length=32)] = None  # a user name, empty for nobody
    platform_reg_no: Annotated[str | None, Field(max_length=64)] = None
    reason: Words = ""


class EventRequest(_Body):
    """One thing that is done to a case; `text` is the result, reason or note, `status` the word for `status`."""

    kind: Literal[
        "note",
        "status",
        "accept",
        "handle",
        "answer",
        "recall",
        "ask_follow_up",
        "withdraw",
        "archive",
        "reopen",
    ]
    text: Words = ""
    status: Annotated[str | None, Field(max_length=16)] = None
    dispatch_id: Annotated[str | None, Field(max_length=36)] = None


class DispatchRequest(_Body):
    """主办, 协办, 意见 and 时限. With `add` the 协办 are added to a case that is out already."""

    lead: Annotated[str, Field(max_length=64)] = ""
    support: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=20)] = []
    opinion: Words
    due_on: date | None = None
    add: bool = False


class ReturnRequest(_Body):
    """A department sends it back; `reason` is one of the list."""

    reason: Annotated[str, Field(max_length=16)]
    explanation: Words = ""
    dispatch_id: Annotated[str | None, Field(max_length=36)] = None


class OtherCaseRequest(_Body):
    """The other case: into which this one is merged, or its twin."""

    number: Annotated[str, Field(max_length=32)]
    reason: Words = ""


class FollowUpRequest(_Body):
    """A satisfaction call; see `bot.cases.follow_ups.Call`."""

    reached: bool
    solved: bool | None = None
    satisfaction: Annotated[str | None, Field(max_length=8)] = None
    reason: Words = ""
    then: follow_ups.Then = "none"
    opinion: Words = ""
    due_on: date | None = None


class SuperviseRequest(_Body):
    """督办 with its opinion, or its end with the reason."""

    opinion: Words
    end: bool = False


# -- helpers ----------------------------------------------------------------------------------------


def _explained(error: CaseError) -> HotlineError:
    if isinstance(error, workflow.UnknownCase):
        return HotlineError(Problem.UNKNOWN_CASE)
    known = isinstance(error, workflow.NotNow | workflow.Wrong | search.WrongCursor)
    problem = Problem.CASE_NOT_NOW if isinstance(error, workflow.NotNow) else Problem.CASE_REFUSED
    return HotlineError(problem, message=str(error) if known else "")


async def _do(request: Request, work: Callable[[Session, datetime], Result], *, write: bool = True) -> Result:
    state = request.app.state

    def go() -> Result:
        try:
            if write:
                with state.sessions.begin() as session:
                    return work(session, state.now())
            with state.readers() as session:
                return work(session, state.now())
        except CaseError as error:
            raise _explained(error) from error

    return await asyncio.to_thread(go)


def _actor(staff: Staff) -> str:
    return f"staff:{staff.username}"


def _number(written: str) -> str:
    """The stored form of a number in a path: lower case and full width are taken as well."""
    parsed = parse_number(written)
    if parsed is None or parsed.number is None:
        raise HotlineError(Problem.UNKNOWN_CASE)
    return parsed.number


def _case(session: Session, written: str) -> Case:
    case = session.get(Case, _number(written))
    if case is None:
        raise HotlineError(Problem.UNKNOWN_CASE)
    return case


def _names(session: Session) -> dict[str, str]:
    return {id: name for id, name in session.execute(select(Staff.id, Staff.name))}


def _reason(staff: Staff, unmask: str | None) -> str | None:
    """The reason for seeing personal data, `None` if it was not asked for. Raises FORBIDDEN, REASON_NEEDED."""
    if unmask is None:
        return None
    if not may(staff, Permission.SEE_PERSONAL_DATA):
        raise HotlineError(Problem.FORBIDDEN)
    if len(unmask.strip()) < LEAST_REASON:
        raise HotlineError(Problem.REASON_NEEDED)
    return unmask.strip()


def _seen(session: Session, staff: Staff, action: str, case: Case, reason: str, now: datetime) -> None:
    audit.record(session, _actor(staff), action, f"case:{case.number}", {"reason": reason}, now=now)


def _view(session: Session, case: Case, now: datetime) -> dict[str, Any]:
    return display.whole(session, case, now=now, staff=_names(session))


# -- lists ------------------------------------------------------------------------------------------

Flag = Annotated[bool | None, Query()]
Word = Annotated[str | None, Query(max_length=64)]


class _List:
    """The query of a list: filters, order, page, search text."""

    def __init__(
        self,
        status: Word = None,
        stage: Word = None,
        type: Word = None,
        department: Word = None,
        assignee: Annotated[str | None, Query(max_length=36, description="staff id")] = None,
        channel: Word = None,
        overdue: Flag = None,
        urgent: Flag = None,
        supervised: Flag = None,
        open: Flag = None,
        q: Annotated[str | None, Query(max_length=200)] = None,
        order: search.Order = "newest",
        after: Annotated[str | None, Query(max_length=300)] = None,
        limit: Annotated[int, Query(ge=1, le=search.MOST)] = 50,
    ) -> None:
        letters = {kind.label: kind.value for kind in CaseType}
        self.filters = search.Filters(
            status=status,
            stage=stage,
            type=letters.get(type or "", type),
            department=department,
            assignee=assignee,
            channel=channel,
            overdue=overdue,
            urgent=urgent,
            supervised=supervised,
            open=open,
        )
        self.q = unicodedata.normalize("NFKC", q or "").strip()
        self.order, self.after, self.limit = order, after, limit

    def find(self, session: Session, today: date, after: str | None, limit: int) -> search.Found:
        """One page."""
        if self.q:
            return search.look_up(session, self.q, self.filters, today=today, after=after, limit=limit)
        return search.cases(session, self.filters, today=today, order=self.order, after=after, limit=limit)


Listing = Annotated[_List, Depends(_List)]


@router.get("/cases")
async def cases(request: Request, staff: Reader, wanted: Listing) -> dict[str, Any]:
    """A page of cases, masked: `{"cases", "after", "by"}`. `q` finds a number, a phone or words; all words must occur.

    Who looks somebody up by their phone number is in the audit log.
    """

    def work(session: Session, now: datetime) -> tuple[dict[str, Any], bool]:
        today = local_date(now)
        found = wanted.find(session, today, wanted.after, wanted.limit)
        names = _names(session)
        lines = [display.line(case, today, names) for case in found.cases]
        return {"cases": lines, "after": found.after, "by": found.by, "words": found.words}, (
            found.by == "phone" and not wanted.after
        )

    page, by_phone = await _do(request, work, write=False)
    if by_phone:
        subject = f"phone:{mask_phone(wanted.q)}"

        def note(session: Session, now: datetime) -> None:
            detail = {"found": len(page["cases"])}
            audit.record(session, _actor(staff), "case.search_phone", subject, detail, now=now)

        await _do(request, note)
    return page


@router.get("/cases/counts")
async def counts(request: Request, staff: Reader) -> dict[str, int]:
    """Live counts of open cases: waiting for dispatch, all, overdue, urgent; each up to `at_most`."""

    def work(session: Session, now: datetime) -> dict[str, int]:
        found = search.counts(session, local_date(now))
        return vars(found) | {"at_most": search.COUNTED}

    return await _do(request, work, write=False)


@router.get("/cases/terms")
async def terms(staff: Reader) -> dict[str, Any]:
    """The words of forms and filters: types, statuses, stages, departments, reasons, satisfaction."""
    routes = table()
    names = [rule.department for rule in routes.rules] + [also for rule in routes.rules for also in rule.also]
    names += [default.department for default in routes.defaults.values()]
    return {
        "types": {kind.value: kind.label for kind in CaseType},
        "statuses": {kind.value: list(words) for kind, words in STATUSES.items()},
        "stages": {stage.value: stage.label for stage in workflow.Stage},
        "departments": sorted(set(names)),
        "departments_verified": routes.names_verified,
        "return_reasons": list(workflow.RETURN_REASONS),
        "refusal_grounds": workflow.REFUSAL_GROUNDS,
        "satisfaction": list(follow_ups.SATISFACTION),
        "actions": {name: action.label for name, action in workflow.ACTIONS.items()},
    }


async def _rows(
    request: Request, staff: Staff, wanted: _List, unmask: str | None, kind: str
) -> list[list[str]]:
    reason = _reason(staff, unmask)

    def work(session: Session, now: datetime) -> list[list[str]]:
        today, names = local_date(now), _names(session)
        rows: list[list[str]] = []
        after = wanted.after
        while len(rows) < exports.MOST:
            found = wanted.find(session, today, after, search.MOST)
            rows += [exports.row(case, today, names, reason is not None) for case in found.cases]
            session.expunge_all()  # Ten thousand cases need not be held twice.
            after = found.after
            if after is None:
                break
        return rows[: exports.MOST]

    rows = await _do(request, work, write=False)

    def note(session: Session, now: datetime) -> None:
        detail = {"rows": len(rows), "unmasked": reason is not None, "reason": reason}
        audit.record(session, _actor(staff), f"case.export_{kind}", "cases", detail, now=now)

    await _do(request, note)  # Before the first byte leaves.
    return rows


def _file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}", "Cache-Control": "no-store"}


@router.get("/cases/export.csv", response_class=StreamingResponse)
async def export_csv(
    request: Request, staff: Exporter, wanted: Listing, unmask: Unmask = None
) -> StreamingResponse:
    """The list as CSV, at most 10,000 rows; masked unless `unmask` gives a reason. A 举报人 stays masked in any case."""
    rows = await _rows(request, staff, wanted, unmask, "csv")

    def pieces() -> Iterator[bytes]:
        yield from exports.as_csv(rows)

    return StreamingResponse(pieces(), media_type="text/csv; charset=utf-8", headers=_file("工单.csv"))


@router.get("/cases/export.xlsx", response_class=Response)
async def export_xlsx(request: Request, staff: Exporter, wanted: Listing, unmask: Unmask = None) -> Response:
    """The list as a workbook; as for CSV."""
    rows = await _rows(request, staff, wanted, unmask, "xlsx")
    data = await asyncio.to_thread(exports.as_xlsx, rows)
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    return Response(data, media_type=kind, headers=_file("工单.xlsx"))


# -- one case ---------------------------------------------------------------------------------------


async def _whole(
    request: Request, staff: Staff, number: str, unmask: str | None, action: str
) -> dict[str, Any]:
    reason = _reason(staff, unmask)

    def work(session: Session, now: datetime) -> dict[str, Any]:
        case = _case(session, number)
        names = _names(session)
        if reason is not None:
            _seen(session, staff, action, case, reason, now)
        body = display.whole(session, case, now=now, unmasked=reason is not None, staff=names)
        body["attachments"] = [
            attachments.as_json(found) | {"created_at": display.moment(found.created_at)}
            for found in _attachments(session, case)
        ]
        body["notes"] = [
            {
                "id": note.id,
                "body": note.body if reason else mask_text(note.body),
                "by": names.get(note.staff_id),
                "at": display.moment(note.at),
            }
            for note in session.scalars(select(Note).where(Note.case_number == case.number).order_by(Note.id))
        ]
        body["pushes"] = [
            {
                "id": sent.id,
                "delivery_id": sent.delivery_id,
                "department": sent.target.get("department"),
                "notice": sent.payload.get("notice_label"),
                "state": sent.state,
                "attempts": sent.attempts,
                "last_error": sent.last_error,
                "sent_at": display.moment(sent.sent_at),
            }
            for sent in session.scalars(
                select(queue.Delivery)
                .where(queue.Delivery.case_number == case.number)
                .order_by(queue.Delivery.id)
            )
            if sent.kind == "department"
        ]
        return body

    return await _do(request, work, write=reason is not None)


@router.get("/cases/{number}.pdf", response_class=Response)
async def pdf(request: Request, staff: Reader, number: str, unmask: Unmask = None) -> Response:
    """The work order for printing; audited also when masked, as paper leaves the house."""
    reason = _reason(staff, unmask)

    def work(session: Session, now: datetime) -> tuple[bytes, str]:
        case = _case(session, number)
        audit.record(
            session,
            _actor(staff),
            "case.print",
            f"case:{case.number}",
            {"reason": reason, "unmasked": reason is not None},
            now=now,
        )
        body = display.whole(session, case, now=now, unmasked=reason is not None, staff=_names(session))
        at = (display.moment(now) or "")[:16].replace("T", " ")
        return exports.as_pdf(body, staff.name, at), case.number

    data, name = await _do(request, work)
    return Response(data, media_type="application/pdf", headers=_file(f"{name}.pdf"))


@router.get("/cases/{number}")
async def one(request: Request, staff: Reader, number: str, unmask: Unmask = None) -> dict[str, Any]:
    """All of a case; personal data masked unless `unmask` gives a reason."""
    return await _whole(request, staff, number, unmask, "case.unmask")


def _assignee(session: Session, username: str) -> str | None:
    if not username:
        return None
    found = session.scalar(select(Staff).where(Staff.username == username, Staff.active.is_(True)))
    if found is None:
        raise HotlineError(Problem.UNKNOWN_STAFF)
    return found.id


@router.patch("/cases/{number}")
async def change(request: Request, staff: Editor, number: str, body: ChangeRequest) -> dict[str, Any]:
    """Correct fields, set urgency, assign, note the national platform's number; all of it or nothing."""
    actor = _actor(staff)

    def work(session: Session, now: datetime) -> dict[str, Any]:
        case = workflow.locked(session, _number(number))
        if body.updated_at is not None and display.moment(case.updated_at) != display.moment(body.updated_at):
            raise HotlineError(Problem.CASE_CHANGED)
        if body.fields:
            workflow.do_correct(session, case.number, body.fields, actor=actor, now=now, reason=body.reason)
        if body.urgent is not None:
            workflow.do_urgency(session, case.number, body.urgent, actor=actor, now=now, reason=body.reason)
        if body.assignee is not None:
            who = _assignee(session, body.assignee)
            workflow.do_assign(session, case.number, who, actor=actor, now=now)
        if body.platform_reg_no is not None:
            workflow.do_platform(session, case.number, body.platform_reg_no, actor=actor, now=now)
        return _view(session, case, now)

    return await _do(request, work)


@router.post("/cases/{number}/events", status_code=201)
async def event(request: Request, staff: Editor, number: str, body: EventRequest) -> dict[str, Any]:
    """Do one thing to a case: note, public status, accept, handle, answer, recall, ask for a 回访, withdraw, archive,
    reopen."""
    actor = _actor(staff)
    if body.kind in ("accept", "handle", "answer", "recall") and not may(staff, Permission.DISPATCH):
        raise HotlineError(Problem.FORBIDDEN)

    def work(session: Session, now: datetime) -> dict[str, Any]:
        name = _case(session, number).number
        match body.kind:
            case "note":
                if not body.text.strip():
                    raise HotlineError(Problem.EMPTY)
                session.add(Note(case_number=name, staff_id=staff.id, body=body.text.strip(), at=now))
                audit.record(session, actor, "case.note", f"case:{name}", now=now)
            case "status":
                if body.status is None:
                    raise HotlineError(Problem.MALFORMED)
                workflow.do_status(session, name, body.status, actor=actor, now=now, reason=body.text or None)
            case "accept":
                dispatch.do_accept(session, name, actor=actor, now=now, dispatch_id=body.dispatch_id)
            case "handle":
                dispatch.do_handle(session, name, actor=actor, now=now)
            case "answer":
                dispatch.do_answer(
                    session, name, result=body.text, actor=actor, now=now, dispatch_id=body.dispatch_id
                )
            case "recall":
                dispatch.do_recall(session, name, reason=body.text, actor=actor, now=now)
            case "ask_follow_up":
                workflow.do_ask_follow_up(session, name, actor=actor, now=now)
            case "withdraw":
                dispatch.do_withdraw(session, name, reason=body.text, actor=actor, now=now)
            case "archive":
                workflow.do_archive(session, name, actor=actor, now=now, reason=body.text or None)
            case "reopen":
                workflow.do_reopen(session, name, actor=actor, now=now, reason=body.text)
        return _view(session, _case(session, name), now)

    return await _do(request, work)


@router.post("/cases/{number}/dispatch", status_code=201)
async def send(request: Request, staff: Dispatcher, number: str, body: DispatchRequest) -> dict[str, Any]:
    """派单 to one 主办 and any number of 协办; queued for sending in the same transaction."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        case = _case(session, number)
        more: dict[str, Any] = {
            "opinion": body.opinion,
            "due_on": body.due_on,
            "actor": _actor(staff),
            "now": now,
        }
        if body.add:
            dispatch.do_support(session, case.number, body.support, **more)
        else:
            dispatch.do_dispatch(session, case.number, lead=body.lead, support=body.support, **more)
        return _view(session, case, now)

    return await _do(request, work)


@router.post("/cases/{number}/return", status_code=201)
async def send_back(request: Request, staff: Dispatcher, number: str, body: ReturnRequest) -> dict[str, Any]:
    """A department sends the case back to the dispatcher (退回); never on to another one."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        case = dispatch.do_return(
            session,
            _number(number),
            reason=body.reason,
            explanation=body.explanation,
            actor=_actor(staff),
            now=now,
            dispatch_id=body.dispatch_id,
        )
        return _view(session, case, now)

    return await _do(request, work)


@router.post("/cases/{number}/merge", status_code=201)
async def merge(request: Request, staff: Merger, number: str, body: OtherCaseRequest) -> dict[str, Any]:
    """并单: this case into the other."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        into = _number(body.number)
        case = linking.do_merge(
            session, _number(number), into, actor=_actor(staff), now=now, reason=body.reason
        )
        return _view(session, case, now)

    return await _do(request, work)


@router.post("/cases/{number}/link", status_code=201)
async def link(request: Request, staff: Merger, number: str, body: OtherCaseRequest) -> dict[str, Any]:
    """Make a 投诉 and a 举报 twins."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        case, _ = linking.do_link(
            session, _number(number), _number(body.number), actor=_actor(staff), now=now
        )
        return _view(session, case, now)

    return await _do(request, work)


@router.post("/cases/{number}/follow-up", status_code=201)
async def follow_up(
    request: Request, staff: Dispatcher, number: str, body: FollowUpRequest
) -> dict[str, Any]:
    """回访 with satisfaction; who is not satisfied can have the case taken up again."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        call = follow_ups.Call(**body.model_dump())
        follow_ups.do_follow_up(session, _number(number), call, actor=_actor(staff), now=now)
        return _view(session, _case(session, number), now)

    return await _do(request, work)


@router.post("/cases/{number}/supervise", status_code=201)
async def supervise(
    request: Request, staff: Supervisor, number: str, body: SuperviseRequest
) -> dict[str, Any]:
    """督办, or its end."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        name, actor = _number(number), _actor(staff)
        if body.end:
            case = supervision.do_release(session, name, reason=body.opinion, actor=actor, now=now)
        else:
            case = supervision.do_supervise(session, name, opinion=body.opinion, actor=actor, now=now)
        return _view(session, case, now)

    return await _do(request, work)


# -- attachments ------------------------------------------------------------------------------------


def _attachments(session: Session, case: Case) -> list[Attachment]:
    query = select(Attachment).where(Attachment.case_number == case.number)
    return list(session.scalars(query.order_by(Attachment.created_at, Attachment.id)))


@router.get("/cases/{number}/attachments")
async def files(request: Request, staff: Reader, number: str) -> dict[str, Any]:
    """What was given for this case; a twin's files are its own."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        found = _attachments(session, _case(session, number))
        return {
            "attachments": [
                attachments.as_json(one) | {"created_at": display.moment(one.created_at)} for one in found
            ]
        }

    return await _do(request, work, write=False)


@router.get("/cases/{number}/attachments/{attachment_id}", response_class=Response)
async def file(
    request: Request, staff: Reader, number: str, attachment_id: str, unmask: Unmask = None
) -> Response:
    """One file. A picture cannot be masked, so that the reason is always needed and every look audited."""
    reason = _reason(staff, unmask if unmask is not None else "")
    assert reason is not None

    def work(session: Session, now: datetime) -> tuple[str, str, bytes]:
        case = _case(session, number)
        if attachment_id not in {one.id for one in _attachments(session, case)}:
            raise HotlineError(Problem.NOT_FOUND)
        found, data = attachments.read(session, attachment_id, config=request.app.state.config)
        detail = {"reason": reason, "attachment": attachment_id}
        audit.record(session, _actor(staff), "case.attachment", f"case:{case.number}", detail, now=now)
        return found.name, found.media_type, data

    name, kind, data = await _do(request, work)
    headers = _file(name) | {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    return Response(data, media_type=kind, headers=headers)


# -- what could not be sent -------------------------------------------------------------------------


@router.get("/dead-letters")
async def dead_letters(
    request: Request, staff: Mender, before: Annotated[int | None, Query(ge=1)] = None
) -> dict[str, Any]:
    """Deliveries that were given up, newest first, without what they hold; `before` is the next page's id."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        found = queue.dead_letters(session, 100, before)
        return {
            "dead_letters": [
                {
                    "id": letter.id,
                    "delivery_id": letter.delivery_id,
                    "kind": letter.kind,
                    "department": letter.target.get("department"),
                    "case_number": letter.case_number,
                    "conversation_id": letter.conversation_id,
                    "attempts": letter.attempts,
                    "last_error": letter.last_error,
                    "created_at": display.moment(letter.created_at),
                }
                for letter in found
            ],
            "counts": queue.counts(session),
            "before": found[-1].id if len(found) == 100 else None,
        }

    return await _do(request, work, write=False)


@router.post("/dead-letters/{letter_id}/revive", status_code=201)
async def revive(request: Request, staff: Mender, letter_id: int) -> dict[str, bool]:
    """Let it be tried again, under the same delivery id."""

    def work(session: Session, now: datetime) -> None:
        if not queue.revive(session, letter_id, now):
            raise HotlineError(Problem.NOT_FOUND)
        audit.record(session, _actor(staff), "outbox.revive", f"delivery:{letter_id}", now=now)

    await _do(request, work)
    return {"revived": True}
