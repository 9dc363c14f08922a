import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError

import bot.cases.models  # noqa: F401
from bot.cases.models import AppendOnly, Case, CaseClock, CaseDraft, CaseEvent, CaseType
from bot.cases.store import Part, add_event, open_draft, submit
from bot.storage import Base, make_engine, upgrade

OURS = {"cases", "case_drafts", "case_events", "case_clocks", "receipt_counters"}


@pytest.fixture
def number(sessions, now):
    """Number of a registered complaint with one event."""
    with sessions.begin() as session:
        part = Part(CaseType.COMPLAINT, {"phone": "13904321187", "facts": "口罩一撕就破"})
        draft = open_draft(session, "c1", now=now)
        (case,) = submit(session, draft, parts=[part], message_id="m9", channel="widget", now=now)
        return case.number


def test_the_migration_makes_exactly_the_models_tables(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_object": lambda _o, name, kind, *_: kind != "table" or name in OURS,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, Base.metadata) == []
    assert set(inspect(engine).get_table_names()) >= OURS


def test_rasas_tables_in_the_same_database_are_left_alone(database_url):
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE events (id INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO events VALUES (1)"))
    upgrade(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM events")).scalar() == 1
    engine.dispose()


COPIED = (
    "case_events (id, case_number, at, actor, kind) SELECT id, case_number, at, 'x', 'x' FROM case_events"
)
CHANGES = [
    "UPDATE case_events SET actor = 'nobody'",
    "UPDATE case_events SET detail = NULL WHERE id = 1",
    "DELETE FROM case_events",
    f"INSERT INTO {COPIED} WHERE true ON CONFLICT (id) DO UPDATE SET actor = 'x'",
]


@pytest.mark.parametrize("statement", CHANGES)
def test_raw_sql_cannot_change_or_delete_an_event(engine, number, statement):
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.exec_driver_sql(statement)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT actor, kind FROM case_events").all()
    assert rows == [("citizen", "registered")]


def test_raw_sql_cannot_replace_or_truncate_events(engine, number):
    statement = {
        "sqlite": f"REPLACE INTO {COPIED}",
        "postgresql": "TRUNCATE case_events",
    }[engine.dialect.name]
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.exec_driver_sql(statement)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT actor FROM case_events").scalar() == "citizen"


def test_the_orm_refuses_before_the_database_does(sessions, number):
    with pytest.raises(AppendOnly, match=number), sessions.begin() as session:
        session.query(CaseEvent).one().actor = "nobody"
    with pytest.raises(AppendOnly, match=number), sessions.begin() as session:
        session.delete(session.query(CaseEvent).one())


def test_more_events_can_be_added(sessions, number, now):
    with sessions.begin() as session:
        add_event(session, session.get(Case, number), "note", actor="staff:wang", now=now)
    with sessions() as session:
        assert [event.kind for event in session.query(CaseEvent).order_by(CaseEvent.id)] == [
            "registered",
            "note",
        ]


def draft(now, **values):
    return CaseDraft(conversation_id="c9", data={}, created_at=now, updated_at=now, **values)


def test_a_conversation_has_one_open_draft_and_many_closed_ones(sessions, now):
    with sessions.begin() as session:
        session.add_all([draft(now, state="cancelled"), draft(now, state="submitted"), draft(now)])
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.add(draft(now))


@pytest.mark.parametrize("values", [{"state": "lost"}, {"type": "X"}])
def test_unknown_words_are_refused(sessions, now, values):
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.add(draft(now, **values))


def test_a_part_of_a_draft_becomes_one_case_whatever_the_program_does(sessions, number, now):
    columns = [column.name for column in Case.__table__.columns]
    copied = ", ".join({"number": "'JL-T-X'", "sms_code": "'X'"}.get(name, name) for name in columns)
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.execute(text(f"INSERT INTO cases ({', '.join(columns)}) SELECT {copied} FROM cases"))


def test_a_case_that_nobody_could_ask_for_is_refused(sessions, number):
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.execute(text("UPDATE cases SET phone_hash = NULL"))


def test_an_event_or_clock_needs_its_case(sessions, now):
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.add(CaseEvent(case_number="JL-T-261122-00001-0", at=now, actor="bot", kind="note"))


CLOCK_COLUMNS = [column.name for column in CaseClock.__table__.columns if column.name != "id"]


def test_a_clock_runs_once_a_case(sessions, number):
    with sessions() as session:
        clock = session.query(CaseClock).one()
        values = {name: getattr(clock, name) for name in CLOCK_COLUMNS}
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.add(CaseClock(**values))
