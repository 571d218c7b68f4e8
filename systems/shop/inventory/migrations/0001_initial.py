"""Stock, reservations and the movements that explain every quantity."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.create_index("ix_reservations_state", "reservations", ["state", "expires_at"], unique=False)
    op.create_table(
        "stock",
        sa.Column("product_id", sa.String(length=64), nullable=False),
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("sold", sa.Integer(), nullable=False),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("min_stock_level", sa.Integer(), nullable=False),
        sa.Column("max_stock_level", sa.Integer(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("discontinued", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("quantity + sold = received", name="stock_conserved"),
        sa.CheckConstraint("reserved >= 0 AND reserved <= quantity AND sold >= 0", name="stock_possible"),
        sa.PrimaryKeyConstraint("product_id"),
    )
    op.create_index("ix_stock_revision", "stock", ["revision"], unique=False)
    op.create_table(
        "movements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["stock.product_id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_movements_product_id"), "movements", ["product_id"], unique=False)


def downgrade() -> None:
    """Drop them."""

    op.drop_index(op.f("ix_movements_product_id"), table_name="movements")
    op.drop_table("movements")
    op.drop_index("ix_stock_revision", table_name="stock")
    op.drop_table("stock")
    op.drop_index("ix_reservations_state", table_name="reservations")
    op.drop_table("reservations")
