"""Categories, products and the full-text index over them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CREATE_FTS5 = """
CREATE VIRTUAL TABLE product_search USING fts5(
  product_id UNINDEXED, name, description, details, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
)
"""
WEIGH_FTS5 = "INSERT INTO product_search(product_search, rank) VALUES ('rank', 'bm25(0.0, 10.0, 1.0, 3.0)')"


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "categories",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "products",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("sku", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category_id", sa.String(length=64), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("in_stock", sa.Boolean(), nullable=False),
        sa.Column("stock_revision", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("price >= 0", name="product_price"),
        sa.ForeignKeyConstraint(
            ["category_id"],
            ["categories.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sku"),
    )
    op.create_index("ix_products_category", "products", ["category_id", "deleted", "price"], unique=False)
    op.create_index("ix_products_created", "products", ["deleted", "created_at"], unique=False)
    op.create_index("ix_products_price", "products", ["deleted", "price"], unique=False)

    if op.get_bind().dialect.name == "sqlite":
        op.execute(CREATE_FTS5)
        op.execute(WEIGH_FTS5)


def downgrade() -> None:
    """Drop them."""

    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE product_search")

    op.drop_index("ix_products_price", table_name="products")
    op.drop_index("ix_products_created", table_name="products")
    op.drop_index("ix_products_category", table_name="products")
    op.drop_table("products")
    op.drop_table("categories")
