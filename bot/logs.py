"""Structured logs without personal data: one place masks whatever is logged."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from bot.redaction import redact

IDS = ("request_id", "conversation", "message", "delivery")
UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _mask(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    foreign = "_record" in event  # a library's line, not one of ours
    for key, value in event.items():
        # One UUID in a thousand holds eleven digits that look like a phone number; masked, it would find nothing.
        known = key in IDS and isinstance(value, str) and UUID.fullmatch(value)
        if not known and not key.startswith("_"):
            event[key] = redact(key, value, foreign=foreign)
    return event


class Unfailing:
    """A stream whose errors stay here: on a full disk a line is lost, but nobody is refused because of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with contextlib.suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        """Flush, if that is possible."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure(level: str = "INFO") -> None:
    """Send structlog and the libraries' logs to standard error, one JSON object a line."""
    errors = Unfailing(sys.stderr)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.format_exc_info,
        _mask,
        # Behind the mask: neither comes from anybody.
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(ensure_ascii=False)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, errors)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(errors)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
