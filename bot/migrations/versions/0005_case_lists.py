"""Indexes of the case lists' filters: a filter that fits few or no cases must not read a million"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = {
    "department": "department",
    "channel": "channel",
    "assignee": "assignee_id",
    "urgent": "urgent",
    "supervised": "supervised",
}


def upgrade() -> None:
    for name, column in COLUMNS.items():
        op.create_index(f"ix_cases_{name}_code", "cases", [column, "sms_code"])


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_index(f"ix_cases_{name}_code", "cases")
