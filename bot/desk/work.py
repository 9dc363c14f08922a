"""Database work of a call: in a thread, in one transaction, with the application's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from fastapi import Request
from sqlalchemy.orm import Session

Result = TypeVar("Result")


async def write(request: Request, work: Callable[[Session, datetime], Result]) -> Result:
    """`work(session, now)`, committed; rolled back when it raises."""
    state = request.app.state

    def go() -> Result:
        with state.sessions.begin() as session:
            return work(session, state.now())

    return await asyncio.to_thread(go)


async def read(request: Request, work: Callable[[Session, datetime], Result]) -> Result:
    """`work(session, now)` on a reading session, which takes no lock."""
    state = request.app.state

    def go() -> Result:
        with state.readers() as session:
            return work(session, state.now())

    return await asyncio.to_thread(go)
