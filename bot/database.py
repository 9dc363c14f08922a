"""The sessions of this process: one engine for the database that the settings name."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy.orm import Session, sessionmaker

from bot.settings import settings
from bot.storage import make_engine, make_sessions


@lru_cache
def readers() -> sessionmaker[Session]:
    """Reading sessions: they never take SQLite's write lock."""
    return make_sessions(make_engine(settings().database), read_only=True)


@lru_cache
def sessions() -> sessionmaker[Session]:
    """Writing sessions; `with sessions().begin() as session:` commits at its end."""
    return make_sessions(make_engine(settings().database))
