"""Which ten films should somebody see when their visit begins? Those they will rate 4 or better."""

from lightgbm import LGBMClassifier

from millstream import Each, FeatureView, Model, Table, checks, sources, splits, tasks
from millstream import features as f

films = Table(
    "films",
    source=sources.Parquet("files/films.parquet"),
    key="film_id",
    known_at="first_rated_at",
    checks=[checks.unique("film_id"), checks.nulls("title", at_most=0)],
    owner="catalogue",
    description="The films there are. A film is known from the first rating anybody gave it: no earlier proof exists.",
)

ratings = Table(
    "ratings",
    source=sources.Parquet("files/ratings.parquet"),
    key=("user_id", "film_id"),
    event_time="rated_at",
    checks=[checks.unique("user_id", "film_id"), checks.between("rating", 0.5, 5)],
    owner="site",
    description="Who rated what; known at once. visit_at is when the visit began in which it was rated.",
)

rated = Table(
    "rated",
    of=[ratings, films],
    key=("user_id", "film_id"),
    event_time="rated_at",
    sql="select r.*, f.genre, f.year from ratings r join films f using (film_id)",
)

film = FeatureView(
    "film",
    of=ratings,
    entity="film_id",
    features=dict(
        ratings=f.count(),
        ratings_1y=f.count(over="365d"),
        good=f.count(where="rating >= 4"),
        good_1y=f.count(where="rating >= 4", over="365d"),
        good_90d=f.count(where="rating >= 4", over="90d"),
        liked=f.target("rating >= 4", smooth=20),
    ),
)

about_film = FeatureView("about_film", of=films, entity="film_id", features=dict(year=f.last("year")))

person = FeatureView(
    "person",
    of=rated,
    entity="user_id",
    features=dict(
        ratings=f.count(), mean=f.mean("rating"), year=f.mean("year"), oldest=f.min("year"), newest=f.max("year")
    ),
)

taste = FeatureView(
    "taste",
    of=rated,
    entity=("user_id", "genre"),
    features=dict(ratings=f.count(), liked=f.target("rating >= 4", smooth=5)),
)

picks = Model(
    "picks",
    rows=Each(ratings, decide_at="visit_at", negatives=4),
    label="rating >= 4",
    task=tasks.TopK(10, item="film_id", candidates=films),
    features=[film, about_film, person, taste],
    estimator=LGBMClassifier(n_estimators=40, num_leaves=31, learning_rate=0.15, min_child_samples=500),
    metrics=["ndcg_at_k", "recall_at_k", "map_at_k", "hit_rate_at_k"],
    goal="ndcg_at_k",
    split=splits.Time(test="365d", folds=2),
)
