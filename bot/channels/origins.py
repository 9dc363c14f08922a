"""Which pages of other sites may embed the chat (`HOTLINE_ALLOWED_ORIGINS`)."""

from __future__ import annotations

import re

_ORIGIN = re.compile(r"(https://[a-z0-9.-]+|http://(localhost|127\.0\.0\.1))(:\d{1,5})?")


def allowed(setting: str) -> list[str]:
    """The origins of a list with commas. Raises `ValueError` for what is none: `*`, `null`, a path, plain HTTP."""
    origins = [origin.strip() for origin in setting.split(",") if origin.strip()]
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"HOTLINE_ALLOWED_ORIGINS: {origin!r} is no origin such as https://www.example.cn "
                "(scheme and host in lower case, no path; plain HTTP only for this machine)."
            )
    return origins
