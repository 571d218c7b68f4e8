"""The lines of every user's cart."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "cart_lines",
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("product_id", sa.String(length=64), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("added_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("quantity > 0", name="cart_line_quantity"),
        sa.PrimaryKeyConstraint("user_id", "product_id"),
    )
    op.create_index(op.f("ix_cart_lines_product_id"), "cart_lines", ["product_id"], unique=False)


def downgrade() -> None:
    """Drop them."""

    op.drop_index(op.f("ix_cart_lines_product_id"), table_name="cart_lines")
    op.drop_table("cart_lines")
