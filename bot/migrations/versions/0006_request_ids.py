"""The request id of what queued a delivery: one grep finds a turn in all logs"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("request_id", sa.String(36), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "request_id")
