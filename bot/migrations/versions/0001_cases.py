"""Cases: drafts, cases, append-only events, clocks, receipt counters"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

SQLITE_TRIGGERS = [
    """CREATE TRIGGER case_events_no_update BEFORE UPDATE ON case_events
       BEGIN SELECT RAISE(ABORT, 'case_events is append-only'); END""",
    """CREATE TRIGGER case_events_no_delete BEFORE DELETE ON case_events
       BEGIN SELECT RAISE(ABORT, 'case_events is append-only'); END""",
    # REPLACE deletes the old row without firing the delete trigger.
    """CREATE TRIGGER case_events_no_replace BEFORE INSERT ON case_events
       WHEN EXISTS (SELECT 1 FROM case_events WHERE id = NEW.id)
       BEGIN SELECT RAISE(ABORT, 'case_events is append-only'); END""",
]
POSTGRES_TRIGGERS = [
    """CREATE FUNCTION case_events_append_only() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'case_events is append-only'; END $$""",
    """CREATE TRIGGER case_events_no_change BEFORE UPDATE OR DELETE ON case_events
       FOR EACH ROW EXECUTE FUNCTION case_events_append_only()""",
    """CREATE TRIGGER case_events_no_truncate BEFORE TRUNCATE ON case_events
       FOR EACH STATEMENT EXECUTE FUNCTION case_events_append_only()""",
]


def upgrade() -> None:
    op.create_table(
        "case_drafts",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("conversation_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(1)),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("asked", sa.String(64)),
        sa.Column("privacy_notice_version", sa.String(32)),
        sa.Column("privacy_notice_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_case_drafts"),
        sa.CheckConstraint("state IN ('open', 'submitted', 'cancelled')", name="ck_case_drafts_state"),
        sa.CheckConstraint("type IN ('T', 'J', 'S', 'Y')", name="ck_case_drafts_type"),
    )
    op.create_index("ix_case_drafts_conversation_id", "case_drafts", ["conversation_id"])
    is_open = sa.text("state = 'open'")
    op.create_index(
        "uq_case_drafts_open",
        "case_drafts",
        ["conversation_id"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )

    op.create_table(
        "cases",
        sa.Column("number", sa.String(24), nullable=False),
        sa.Column("sms_code", sa.String(12), nullable=False),
        sa.Column("type", sa.String(1), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("draft_id", sa.String(36), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("twin_number", sa.String(24)),
        sa.Column("conversation_id", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("confirmed_by_message", sa.String(64), nullable=False),
        sa.Column("fields", sa.LargeBinary(), nullable=False),
        sa.Column("phone_hash", sa.String(64)),
        sa.Column("query_code_hash", sa.String(64)),
        sa.Column("anonymous", sa.Boolean(), nullable=False),
        sa.Column("confidential", sa.Boolean(), nullable=False),
        sa.Column("department", sa.String(64), nullable=False),
        sa.Column("routing_reason", sa.String(255), nullable=False),
        sa.Column("duplicate_of", sa.String(24)),
        sa.Column("platform_reg_no", sa.String(32)),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_cases"),
        sa.UniqueConstraint("sms_code", name="uq_cases_sms_code"),
        sa.UniqueConstraint("draft_id", "part", name="uq_cases_draft_id_part"),
        sa.ForeignKeyConstraint(["draft_id"], ["case_drafts.id"], name="fk_cases_draft_id"),
        sa.ForeignKeyConstraint(["twin_number"], ["cases.number"], name="fk_cases_twin_number"),
        sa.ForeignKeyConstraint(["duplicate_of"], ["cases.number"], name="fk_cases_duplicate_of"),
        sa.CheckConstraint("type IN ('T', 'J', 'S', 'Y')", name="ck_cases_type"),
        sa.CheckConstraint("phone_hash IS NOT NULL OR query_code_hash IS NOT NULL", name="ck_cases_lookup"),
    )
    op.create_index("ix_cases_conversation_id", "cases", ["conversation_id"])
    op.create_index("ix_cases_phone_hash", "cases", ["phone_hash"])
    op.create_index("ix_cases_created_at", "cases", ["created_at"])

    op.create_table(
        "case_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_number", sa.String(24), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16)),
        sa.Column("detail", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_case_events"),
        sa.ForeignKeyConstraint(["case_number"], ["cases.number"], name="fk_case_events_case_number"),
    )
    op.create_index("ix_case_events_case_number", "case_events", ["case_number"])

    op.create_table(
        "case_clocks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_number", sa.String(24), nullable=False),
        sa.Column("key", sa.String(40), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("from_date", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(4), nullable=False),
        sa.Column("basis", sa.String(255), nullable=False),
        sa.Column("mark", sa.String(2), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("provisional", sa.Boolean(), nullable=False),
        sa.Column("showable", sa.Boolean(), nullable=False),
        sa.Column("met_on", sa.Date()),
        sa.PrimaryKeyConstraint("id", name="pk_case_clocks"),
        sa.UniqueConstraint("case_number", "key", name="uq_case_clocks_case_number_key"),
        sa.ForeignKeyConstraint(["case_number"], ["cases.number"], name="fk_case_clocks_case_number"),
        sa.CheckConstraint("unit IN ('工作日', '日')", name="ck_case_clocks_unit"),
    )
    op.create_index("ix_case_clocks_due_on", "case_clocks", ["due_on"])

    op.create_table(
        "receipt_counters",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_receipt_counters"),
    )

    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE_TRIGGERS if sqlite else POSTGRES_TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    for table in ("receipt_counters", "case_clocks", "case_events", "cases", "case_drafts"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION case_events_append_only()")
