"""Lists of cases: pages that cost the same at the first and at the millionth case, look-ups, live counts.

Keyset pages: a page says where the next begins, nothing is counted off. Number, phone and words go through indexes;
the words through the blind index of `bot.cases.terms`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Select, and_, cast, exists, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from bot.cases.drafts import CaseError
from bot.cases.fields import check_phone
from bot.cases.models import Case, CaseTerm
from bot.cases.receipts import parse_number
from bot.cases.terms import query_words, term, whole_name
from bot.crypto import data_key

Order = Literal["newest", "due", "urgent"]
MOST = 200  # cases on a page
COUNTED = 10_000  # a live count goes no further
_STEP, _STEPS = 1000, 40  # codes fetched at a time from the blind index, and how often for one page
_FREQUENT = 5_000  # cases that hold a word: from there on a filter is walked instead of the word
_TO_DISPATCH = ("registered", "waiting", "returned")


class WrongCursor(CaseError):
    """The mark of a page does not fit this list."""


@dataclass(frozen=True)
class Filters:
    """What a list is narrowed to; `None` does not narrow. `overdue` needs the day it is asked on, see `cases`."""

    status: str | None = None
    stage: str | None = None
    type: str | None = None
    department: str | None = None
    assignee: str | None = None
    channel: str | None = None
    overdue: bool | None = None
    urgent: bool | None = None
    supervised: bool | None = None
    open: bool | None = None

    def where(self, today: date) -> list[ColumnElement[bool]]:
        """The conditions."""
        found: list[ColumnElement[bool]] = []
        for column, value in (
            (Case.status, self.status),
            (Case.stage, self.stage),
            (Case.type, self.type),
            (Case.department, self.department),
            (Case.assignee_id, self.assignee),
            (Case.channel, self.channel),
            (Case.urgent, self.urgent),
            (Case.supervised, self.supervised),
        ):
            if value is not None:
                found.append(column == value)
        if self.open is not None:
            found.append(Case.closed_at.is_(None) if self.open else Case.closed_at.is_not(None))
        if self.overdue is not None:
            # A closed case has no due date (store.refresh_due), so that this alone means open and late.
            late = Case.due_on < today
            found.append(late if self.overdue else or_(Case.due_on.is_(None), Case.due_on >= today))
        return found


@dataclass(frozen=True)
class Found:
    """A page: its cases and, if there are more, the mark `after` of the next one. `by` says what was looked for."""

    cases: list[Case]
    after: str | None = None
    by: Literal["list", "number", "phone", "platform", "words"] = "list"
    words: list[str] = field(default_factory=list)


def _mark(*values: Any) -> str:
    plain = json.dumps([value.isoformat() if hasattr(value, "isoformat") else value for value in values])
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def _values(mark: str, order: str, count: int) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)))
        if not isinstance(values, list) or values[0] != order or len(values) != count:
            raise ValueError(mark)
    except (ValueError, binascii.Error, UnicodeDecodeError, IndexError, TypeError, KeyError):
        raise WrongCursor("翻页标记不对，请从第一页重新打开。") from None
    return values


def cases(
    session: Session,
    filters: Filters,
    *,
    today: date,
    order: Order = "newest",
    after: str | None = None,
    limit: int = 50,
) -> Found:
    """A page of cases. Raises `WrongCursor` for an `after` that is not of this order.

    `newest`: by number, downwards. `due`: open cases by due date, those without one at the end. `urgent`: open
    cases, urgent first, then oldest first.
    """
    limit = max(1, min(limit, MOST))
    if order == "newest":
        return _newest(session, select(Case).where(*filters.where(today)), after, limit)
    if filters.open is False:
        return Found([])
    # Said once: PostgreSQL takes a condition that stands twice for a rarer one, and plans badly.
    query = select(Case).where(*replace(filters, open=True).where(today))
    return (_by_due if order == "due" else _by_urgency)(session, query, after, limit)


def _newest(session: Session, query: Select[Any], after: str | None, limit: int) -> Found:
    if after:
        (_, code) = _values(after, "newest", 2)
        query = query.where(Case.sms_code < str(code))
    rows = list(session.scalars(query.order_by(Case.sms_code.desc()).limit(limit + 1)))
    return _page(rows, limit, lambda case: _mark("newest", case.sms_code))


def _by_due(session: Session, query: Select[Any], after: str | None, limit: int) -> Found:
    # Two runs over two parts of the index, so that no row is sorted: those with a due date, then the rest.
    day, code = None, ""
    if after:
        _, day, code = _values(after, "due", 3)
    rows: list[Case] = []
    if not after or day:
        dated = query.where(Case.due_on.is_not(None))
        if day:
            at = _day(day)
            later = or_(Case.due_on > at, and_(Case.due_on == at, Case.sms_code > str(code)))
            dated = dated.where(Case.due_on >= at, later)
        rows = list(session.scalars(dated.order_by(Case.due_on, Case.sms_code).limit(limit + 1)))
    if len(rows) <= limit:
        rest = query.where(Case.due_on.is_(None))
        if after and not day:
            rest = rest.where(Case.sms_code > str(code))
        rows += session.scalars(rest.order_by(Case.sms_code).limit(limit + 1 - len(rows)))
    return _page(rows, limit, lambda case: _mark("due", case.due_on, case.sms_code))


def _by_urgency(session: Session, query: Select[Any], after: str | None, limit: int) -> Found:
    urgent, at, code = True, "", ""
    if after:
        _, urgent, at, code = _values(after, "urgent", 4)
    rows: list[Case] = []
    for part in (True, False):
        if (part and not urgent) or len(rows) > limit:
            continue
        run = query.where(Case.urgent.is_(part))
        if after and part == urgent:
            since = _time(at)
            later = or_(Case.created_at > since, and_(Case.created_at == since, Case.sms_code > str(code)))
            run = run.where(Case.created_at >= since, later)
        rows += session.scalars(run.order_by(Case.created_at, Case.sms_code).limit(limit + 1 - len(rows)))
    return _page(rows, limit, lambda case: _mark("urgent", case.urgent, case.created_at, case.sms_code))


def _day(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        raise WrongCursor("翻页标记不对，请从第一页重新打开。") from None


def _time(value: Any) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        at = None
    if at is None or at.tzinfo is None:
        raise WrongCursor("翻页标记不对，请从第一页重新打开。")
    return at


def _page(rows: list[Case], limit: int, mark: Any) -> Found:
    shown = rows[:limit]
    return Found(shown, mark(shown[-1]) if len(rows) > limit else None)


# -- looking something up ---------------------------------------------------------------------------

_PLATFORM = re.compile(r"(?<!\d)\d(?:[\s\-]?\d){24}(?!\d)")


def platform_number(text: str) -> str | None:
    """The national platform's registration number (登记编号) in `text`: 25 digits, however grouped."""
    found = _PLATFORM.search(unicodedata.normalize("NFKC", text))
    return re.sub(r"\D", "", found[0]) if found else None


def look_up(
    session: Session,
    text: str,
    filters: Filters,
    *,
    today: date,
    after: str | None = None,
    limit: int = 50,
) -> Found:
    """The cases that `text` means: a receipt number however written, a platform number, a phone number, else words.

    Several words are all to be found in a case. Newest first. Nothing is found for a text without a word of two
    characters.
    """
    limit = max(1, min(limit, MOST))
    where = filters.where(today)
    if platform := platform_number(text):
        return _worded(session, [term("platform", platform)], where, after, limit, "platform", [])
    if (parsed := parse_number(text)) and parsed.valid:
        query = select(Case).where(Case.sms_code == parsed.sms_code, *where)
        if parsed.type:
            query = query.where(Case.type == parsed.type.value)
        return Found(list(session.scalars(query)), by="number")
    if phone := check_phone(text).value:
        query = select(Case).where(Case.phone_hash == data_key().phone_hash(phone), *where)
        found = _newest(session, query, after, limit)
        return Found(found.cases, found.after, "phone")
    words = query_words(text)
    name = term("name", whole_name(text))
    if session.scalar(select(CaseTerm.code).where(CaseTerm.term == name).limit(1)) is not None:
        return _worded(session, [name], where, after, limit, "words", [whole_name(text)])
    if not words:
        return Found([], by="words")
    return _worded(session, [term("word", word) for word in words], where, after, limit, "words", words)


def _codes(terms: Sequence[int], below: int | None, limit: int) -> Select[Any]:
    first = aliased(CaseTerm)
    query = select(first.code).where(first.term == terms[0])
    for value in terms[1:]:
        other = aliased(CaseTerm)
        query = query.where(exists().where(other.term == value, other.code == first.code))
    if below is not None:
        query = query.where(first.code < below)
    return query.order_by(first.code.desc()).limit(limit)


def _rarest_first(session: Session, terms: Iterable[int]) -> tuple[list[int], bool]:
    """The terms, and whether even the rarest of them is frequent."""

    def size(value: int) -> int:
        some = select(CaseTerm.code).where(CaseTerm.term == value).limit(_FREQUENT).subquery()
        return session.scalar(select(func.count()).select_from(some)) or 0

    sizes = {value: size(value) for value in dict.fromkeys(terms)}
    return sorted(sizes, key=lambda value: sizes[value]), min(sizes.values()) >= _FREQUENT


def _worded(
    session: Session,
    terms: Sequence[int],
    where: list[ColumnElement[bool]],
    after: str | None,
    limit: int,
    by: Literal["platform", "words"],
    words: list[str],
) -> Found:
    below: int | None = None
    if after:
        (_, code) = _values(after, "words", 2)
        below = int(code) if str(code).isdigit() else None
    frequent = False
    if len(terms) > 1 or where:
        terms, frequent = _rarest_first(session, terms)
    if where and frequent:
        return _walk_filter(session, terms, where, below, limit, by, words)
    rows: list[Case] = []
    step = limit + 1 if not where else _STEP
    for _ in range(_STEPS):
        codes = list(session.scalars(_codes(terms, below, step)))
        if codes:
            below = codes[-1]
            among = select(Case).where(Case.sms_code.in_([f"{code:012d}" for code in codes]), *where)
            rows += session.scalars(among.order_by(Case.sms_code.desc()).limit(limit + 1 - len(rows)))
        if len(codes) < step or len(rows) > limit:
            break
    else:
        # A rare filter among many hits: the rest is another page, not a longer wait.
        return Found(rows[:limit], _mark("words", below), by, words)
    return _page_of_words(rows, limit, by, words)


def _walk_filter(
    session: Session,
    terms: Sequence[int],
    where: list[ColumnElement[bool]],
    below: int | None,
    limit: int,
    by: Literal["platform", "words"],
    words: list[str],
) -> Found:
    # Frequent words: of the cases that fit the filter, which hold them? One probe of the index's key each.
    query = select(Case).where(*where)
    for value in terms:
        held = aliased(CaseTerm)
        query = query.where(exists().where(held.term == value, held.code == cast(Case.sms_code, BigInteger)))
    if below is not None:
        query = query.where(Case.sms_code < f"{below:012d}")
    rows = list(session.scalars(query.order_by(Case.sms_code.desc()).limit(limit + 1)))
    return _page_of_words(rows, limit, by, words)


def _page_of_words(rows: list[Case], limit: int, by: Literal["platform", "words"], words: list[str]) -> Found:
    shown = rows[:limit]
    return Found(shown, _mark("words", int(shown[-1].sms_code)) if len(rows) > limit else None, by, words)


# -- live counts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """How many cases wait for dispatch, are open, overdue, urgent; each up to `COUNTED`, which means that many or more."""

    waiting: int
    open: int
    overdue: int
    urgent: int


def counts(session: Session, today: date) -> Counts:
    """The live counts of the queue, each from one index alone."""
    open_ = Case.closed_at.is_(None)

    def number(*where: ColumnElement[bool]) -> int:
        some = select(literal(1)).select_from(Case).where(*where).limit(COUNTED).subquery()
        return session.scalar(select(func.count()).select_from(some)) or 0

    return Counts(
        # These stages are open ones, and only an open case has a due date.
        waiting=number(Case.stage.in_(_TO_DISPATCH)),
        open=number(open_),
        overdue=number(Case.due_on < today),
        urgent=number(open_, Case.urgent.is_(True)),
    )
