"""Alembic's environment: all migrations of one run in one transaction, one process at a time."""

from typing import Literal

from alembic import context
from sqlalchemy import text

# Every package with tables is imported, so that autogenerate sees them.
import bot.audit
import bot.cases.models
import bot.conversations.models
import bot.desk.models
import bot.desk.tallies
import bot.outbox.models
import bot.staff.models  # noqa: F401
from bot.settings import settings
from bot.storage import Base, make_engine

RASA_TABLES = {"events", "trackers"}


def include_object(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """Rasa's tracker store may share the database; its tables are not ours to change."""
    return not (kind == "table" and name in RASA_TABLES)


def render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Migrations name plain column types: they must still run when our own types have changed."""
    if kind == "type" and type(item).__module__ == "bot.storage":
        return "sa.DateTime(timezone=True)" if type(item).__name__ == "UtcDateTime" else "sa.LargeBinary()"
    return False


def run() -> None:
    engine = make_engine(context.config.attributes.get("url") or settings().database, busy_timeout=30)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(12315)"))
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_object=include_object,
            render_item=render_item,
            render_as_batch=connection.dialect.name == "sqlite",
        )
        context.run_migrations()
    engine.dispose()


run()
