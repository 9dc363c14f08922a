"""Receipt numbers (回执编号): `JL-T-261122-00017-0` for people, the same twelve digits for SMS.

Type letter, day in Asia/Shanghai, running number of that day over all types, check digit by ISO/IEC 7064
MOD 11,10 over the eleven digits. Twelve digits and a prefix: never to be taken for the national platform's
25-digit registration number (登记编号).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from stdnum.iso7064 import mod_11_10

from bot.cases.calendar import local_date
from bot.cases.models import CaseType, ReceiptCounter

LAST_OF_DAY = 99_999


class NumbersExhausted(Exception):
    """All 99,999 numbers of a day are given out."""


class Receipt(NamedTuple):
    """A number and its digits-only form."""

    number: str
    sms_code: str


@dataclass(frozen=True)
class ParsedNumber:
    """A receipt number found in a text.

    Its twelve digits, the type if its letter was written, whether the check digit holds, and the very piece
    of the text it was read from.
    """

    sms_code: str
    type: CaseType | None
    valid: bool
    written: str

    @property
    def number(self) -> str | None:
        """The number in full, `None` if only digits were written."""
        if self.type is None:
            return None
        return f"JL-{self.type.value}-{self.sms_code[:6]}-{self.sms_code[6:11]}-{self.sms_code[11]}"


def check_digit(eleven: str) -> str:
    """The check digit of eleven digits (ISO/IEC 7064 MOD 11,10): finds every single wrong digit."""
    return mod_11_10.calc_check_digit(eleven)


def compose(type: CaseType, day: date, serial: int) -> Receipt:
    """The number of the `serial`-th case of `day`. Raises `NumbersExhausted` over 99,999."""
    if not 1 <= serial <= LAST_OF_DAY:
        raise NumbersExhausted(f"No receipt numbers are left for {day}.")
    stamp = f"{day:%y%m%d}"
    digit = check_digit(f"{stamp}{serial:05d}")
    return Receipt(f"JL-{type.value}-{stamp}-{serial:05d}-{digit}", f"{stamp}{serial:05d}{digit}")


def issue(session: Session, type: CaseType, now: datetime) -> Receipt:
    """The next number of the day, in the caller's transaction: a rollback gives it back, so none is skipped.

    The counter row is locked until that transaction ends; a second issuer waits for it.
    """
    day = local_date(now)
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(ReceiptCounter).values(day=day, last=1)
    counted = statement.on_conflict_do_update(
        index_elements=[ReceiptCounter.day], set_={"last": ReceiptCounter.last + 1}
    ).returning(ReceiptCounter.last)
    return compose(type, day, session.execute(counted).scalar_one())


_GAP = r"[\s\-‐-―−_.·/]{0,3}"
_NUMBER = re.compile(
    rf"(?<![0-9A-Z])(?:JL{_GAP})?(?:([TJSY]){_GAP})?([0-9](?:{_GAP}[0-9]){{11}})(?![0-9])",
)
_PLATFORM = re.compile(rf"(?<![0-9])[0-9](?:{_GAP}[0-9]){{24}}(?!{_GAP}[0-9])")


def parse_number(text: str) -> ParsedNumber | None:
    """The receipt number in `text`, however it is written: full width, lower case, gaps, digits only.

    A number whose check digit holds is preferred; otherwise the first that looks like one comes back with
    `valid=False`, so that the citizen can be asked to look again. The national platform's 25 digits are none.
    """
    # One character at a time, so that a place in the plain text leads back to the citizen's own.
    forms = [unicodedata.normalize("NFKC", char).upper() for char in text]
    places = [index for index, form in enumerate(forms) for _ in form]
    plain = _PLATFORM.sub(lambda match: "#" * len(match[0]), "".join(forms))
    found = [
        _parsed(match, text[places[match.start()] : places[match.end() - 1] + 1])
        for match in _NUMBER.finditer(plain)
    ]
    candidates = [number for number in found if number]
    return next((number for number in candidates if number.valid), candidates[0] if candidates else None)


def _parsed(match: re.Match[str], written: str) -> ParsedNumber | None:
    letter, digits = match[1], re.sub(r"[^0-9]", "", match[2])
    try:
        date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return None
    valid = check_digit(digits[:11]) == digits[11]
    return ParsedNumber(digits, CaseType(letter) if letter else None, valid, written)
