"""What must not stand in a log, in one place: everything that is logged goes through `redact`.

Three nets. Numbers of people (phone, ID, bank card) are masked by their shape. Secrets are cut by the name they stand
under, by the shape of a URL or header, and by value: those of this process are known. Names, addresses and what a
citizen wrote have no shape; but they are Chinese, and our log is not: in what an error or a library says (exceptions
quote what they were given) Chinese characters become `…`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from bot.crypto import mask_text

LONGEST = 8000  # characters of one value: nobody fills the disk with one line
CUT = "…"
_CHINESE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff01-\uffee\U00020000-\U0003ffff]+")
# What reorders or hides text in a terminal, and what a viewer may take for the end of a line.
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_SECRET_NAME = re.compile(
    r"(?i)(pass(word|wd)?|secret|token|authorization|cookie|credential|aes_?key|api_?key|data_?key)$"
)
_SHAPES = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {CUT}"),
    (
        re.compile(
            r"(?i)([?&;\s\"'](?:key|token|secret|password|signature|msg_signature|access_token)=)[^&\s\"']+"
        ),
        rf"\1{CUT}",
    ),
    (re.compile(r"(?i)((?:set-)?cookie\W{1,4}\s*)[^\s\"',;]+=[^\s\"',;]+"), rf"\1{CUT}"),
    (re.compile(r"(://[^/\s:@\"']*:)[^/\s@\"']+@"), rf"\1{CUT}@"),
    (re.compile(r"(/webhook/)[A-Za-z0-9_-]{16,}"), rf"\1{CUT}"),
    # A session token of ours: a citizen's, or the secret of a log-in.
    (re.compile(r"\b[A-Za-z0-9_-]{43}(\.\d{1,12}\.[0-9a-f]{64})?(?![A-Za-z0-9_-])"), CUT),
)
_TEN_DIGITS = 10**10  # What is shorter is no phone number.
# Where the words are not ours but an exception's, a library's or a caller's.
_QUOTING = frozenset({"error", "exception", "stack", "exc", "detail", "path"})


@lru_cache
def _own_secrets() -> tuple[str, ...]:
    """The secrets that this process was started with, longest first."""
    found: set[str] = set()
    for name, value in os.environ.items():
        if not name.startswith("HOTLINE_") or len(value) < 6:
            continue
        if re.search(r"(TOKEN|SECRET|PASSWORD|KEY)$", name):
            found.add(value)
        elif name.endswith("_URL"):
            try:
                found.add(urlsplit(value).password or "")
            except ValueError:
                continue
    return tuple(sorted((secret for secret in found if len(secret) >= 6), key=len, reverse=True))


def clean(text: str, *, foreign: bool = False) -> str:
    """`text` as it may be logged; `foreign`: a library or an exception says it."""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}{CUT}"
    for secret in _own_secrets():
        text = text.replace(secret, CUT)
    # Masked first: numbers in full width would be cut as Chinese and leave their half-width half.
    text = mask_text(text)
    for pattern, instead in _SHAPES:
        text = pattern.sub(instead, text)
    if foreign:
        text = _CHINESE.sub(CUT, text)
    return _INVISIBLE.sub("\ufffd", text)


def _value(value: Any, *, foreign: bool) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -_TEN_DIGITS < value < _TEN_DIGITS:
        return value
    if isinstance(value, int | float):
        masked = clean(str(value), foreign=foreign)
        return value if masked == str(value) else masked
    if isinstance(value, str):
        return clean(value, foreign=foreign)
    if isinstance(value, Mapping):
        return {str(k): redact(str(k), v, foreign=foreign) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(each, foreign=foreign) for each in value]
    return clean(str(value) if isinstance(value, BaseException) else repr(value), foreign=True)


def redact(name: str, value: Any, *, foreign: bool = False) -> Any:
    """A field of a log event without personal data and secrets; `foreign`: all of the line is a library's."""
    if _SECRET_NAME.search(name) and value not in (None, ""):
        return CUT
    return _value(value, foreign=foreign or name in _QUOTING)
