"""The Python door: what a person in a notebook says to a project. Thin: each word is a file of ``notebook``."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from millstream.definitions.load import files_digest
from millstream.definitions.manifest import Manifest, brought, gather
from millstream.definitions.model import Model
from millstream.definitions.view import FeatureView, Role
from millstream.errors import DefinitionError, UserError
from millstream.settings import parse_size, whoami

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.project.notebook.adopt import Adopted
    from millstream.project.notebook.asked import Asked
    from millstream.project.notebook.cache import Cache
    from millstream.project.notebook.compare import Compared
    from millstream.project.notebook.rows import TrainingRows
    from millstream.project.notebook.runs import Run
    from millstream.project.notebook.show import Answer
    from millstream.project.notebook.tables import LakeTable
    from millstream.project.root import Project
    from millstream.training import TrainingSet

NOTEBOOK = MappingProxyType({"millstream.origin": "notebook"})


class Door:
    """The words of a notebook. Each shows itself as a table in Jupyter; each read of data goes on the ledger.

    Attributes
    ----------
    kept
        Builds training sets out of what was computed before: of a plan, until an instant, rows without time decided
        at another; None builds each afresh.
    origin
        Tags of runs whose definition is in no file.
    """

    kept: Callable[[FeaturePlan, datetime, datetime], TrainingSet] | None = None
    origin: Mapping[str, str] = MappingProxyType({})

    @property
    def actor(self) -> str:
        """Who acts, as asserted: MILLSTREAM_USER, else the login name."""
        return whoami()

    @cached_property
    def read(self) -> dict[tuple[str, int], None]:
        """The table versions read in this process so far, in order."""
        return {}

    @cached_property
    def cache(self) -> Cache:
        """What features and training sets were computed, under ``.millstream/cache``."""
        from millstream.project.notebook.cache import Cache

        project = cast("Project", self)
        limit = parse_size(project.settings.quota.cache)
        bound = sys.maxsize if limit is None else limit
        return Cache(project.places.cache, limit_bytes=bound, tell=lambda line: project.progress(line))

    def sql(
        self,
        query: str,
        *,
        as_of: str | datetime | None = None,
        as_seen: str | datetime | None = None,
        at: Mapping[str, int] | None = None,
    ) -> Answer:
        """Run one SELECT in DuckDB's dialect over the newest versions of the tables it names.

        Parameters
        ----------
        query
            The SELECT.
        as_of
            As known at an instant: later facts and corrections left out.
        as_seen
            At the versions that were the newest at an instant.
        at
            Table to version.
        """
        from millstream.project.notebook.tables import asked

        return asked(fresh(self), query, as_of=as_of, as_seen=as_seen, at=at)

    def table(self, name: str, *, version: int | None = None, as_seen: str | datetime | None = None) -> LakeTable:
        """Return a table at a version, at the one that was the newest at an instant, or at the newest."""
        from millstream.project.notebook.tables import LakeTable

        return LakeTable(fresh(self), name, version=version, as_seen=as_seen)

    def tables(self) -> Answer:
        """List the tables."""
        from millstream.project.notebook.tables import listed

        return listed(fresh(self))

    def edit(
        self,
        table: str,
        rows: Any = None,
        *,
        set: Mapping[str, str] | None = None,
        where: str = "",
        remove: bool = False,
        note: str = "",
    ) -> Answer:
        """Change rows of a table in an environment of your own; production and other environments stay as they are.

        Parameters
        ----------
        table
            A table of production with a key.
        rows
            A frame of Polars or pandas, put in by the key: columns it has are taken over, rows of new keys come anew.
        set
            Column to expression, such as ``{"price": "price * 1.1"}``, for the rows of ``where``.
        where
            Which rows, as an expression over the table's columns; all when left out.
        remove
            Take the rows of ``where`` away instead.
        note
            Why; kept with the edit.

        Raises
        ------
        Refused
            In production.
        """
        from millstream.project.notebook.branch import changed_rows

        return changed_rows(fresh(self), table, rows, set_=set or {}, where=where, remove=remove, note=note)

    def catalog(self, table: str = "", *, find: str = "") -> Answer:
        """List what data there is; of one table its columns; with ``find`` what has a word in its names or tags."""
        from millstream.project.notebook.tables import cataloged

        return cataloged(fresh(self), table, find)

    def lineage(self, name: str) -> dict[str, Any]:
        """Trace a table, column, feature, model, version or answer both ways, as plain data."""
        return cast("dict[str, Any]", fresh(self).run("lineage", {"name": name}))

    def model(self, name: str) -> Model:
        """Return a model as the definition files have it, to change with ``.but(...)``."""
        return fresh(self).manifest.model(name)

    def features(
        self,
        features: Iterable[FeatureView | Role | str],
        *,
        rows: Any,
        at: str | datetime | None = None,
        pins: Mapping[str, int] | None = None,
    ) -> Asked:
        """Join features to rows of your own, as known at an instant each; what was computed once is kept.

        Parameters
        ----------
        features
            Feature views, roles of them, or names of those in the definition files.
        rows
            A frame of Polars or pandas with the columns that name the entities.
        at
            An instant, or the column of ``rows`` that holds one a row; now when left out.
        pins
            Table to version, for tables that are not to be read at their newest.
        """
        from millstream.project.notebook.asked import asked

        return asked(fresh(self), features, rows, at=at, pins=pins)

    def training_set(
        self,
        model: str | Model,
        *,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        pins: Mapping[str, int] | None = None,
    ) -> TrainingRows:
        """Join a model's rows to what was known when each was decided, and to their labels.

        Parameters
        ----------
        model
            Its name, or a definition (``late.but(features=[...])``); new feature views may be among its features.
        since, until
            Rows decided from and before these instants, labels known by ``until``; until now when left out.
        pins
            Table to version, for tables that are not to be read at their newest.
        """
        from millstream.project.notebook.rows import made

        return made(*changed(fresh(self), model), since=since, until=until, pins=pins)

    def train(self, model: str | Model, *, note: str = "", until: str | datetime | None = None) -> Run:
        """Train a model in this process, judge it beside baseline and champion, record the run with its versions.

        Parameters
        ----------
        model
            Its name, or a definition changed in the notebook. What no committed file defines can be compared and
            adopted; it is released after ``adopt`` and a commit.
        note
            Why; kept with the run.
        until
            Rows decided before this instant; now when left out.
        """
        from millstream.project.notebook.runs import trained

        return trained(*changed(fresh(self), model), note=note, until=until)

    def register(
        self, model: str | Model, logged: str, *, learnt_to: str | datetime | None = None, note: str = ""
    ) -> Run:
        """Make a model that stock MLflow logged the next version, judged on the hold-out beside baseline and champion.

        Parameters
        ----------
        model
            Whose rows, features and label it is for; the columns of its signature must be the features.
        logged
            ``runs:/ID/NAME``, the id of the run that logged it, or ``models:/m-...``.
        learnt_to
            Latest decision it was fitted on: only later rows judge it. Left out, the verdict says that nobody knows.
        note
            Why; kept with the version.
        """
        from millstream.project.notebook.runs import registered

        return registered(*changed(fresh(self), model), logged, learnt_to=learnt_to, note=note)

    def runs(self, model: str, *, limit: int = 50) -> Answer:
        """List a model's runs, newest first."""
        from millstream.project.notebook.runs import listed

        return listed(fresh(self), model, limit=limit)

    def compare(self, run: Run | int | str, other: Run | int | str = "champion") -> Compared:
        """Replay two recipes on the same rows: every metric with its range, and how their definitions differ.

        Parameters
        ----------
        run, other
            What ``train`` returned, ``"late@3"``, an id of a run, or a version of the same model; ``other`` also
            ``"champion"``.
        """
        from millstream.project.notebook.compare import compared

        return compared(fresh(self), run, other)

    def adopt(self, run: Run | int | str | Model, *, model: str | None = None) -> Adopted:
        """Write the definition of a run into the definition file, and show what changed."""
        from millstream.project.notebook.adopt import adopted

        return adopted(fresh(self), run, model=model)

    def autolog(self, model: str, **options: Any) -> str:
        """Let stock MLflow record on the project's store, each run with the table versions read before it.

        Parameters
        ----------
        model
            Whose experiment runs go to.
        **options
            Of ``mlflow.autolog``.

        Returns
        -------
        The tracking address, for other clients.
        """
        from millstream.tracking.datasets import follow

        project = fresh(self)
        return follow(project.tracking, project.manifest.model(model).name, lambda: project.read, options)


def fresh(door: Door) -> Project:
    """Return the project with the definitions its files have now."""
    project = cast("Project", door)
    said = files_digest(project.root)
    if project.__dict__.get("_files", said) != said:
        project.__dict__.pop("manifest", None)
        project.__dict__.pop("lake", None)
    project.__dict__["_files"] = said
    return project


def changed(project: Project, model: str | Model) -> tuple[Project, str]:
    """Return the project as if its files said what a notebook says of one model, and the model's name.

    Raises
    ------
    NotFound
        For a name that no model has.
    DefinitionError
        For a definition that names what the files do not have.
    """
    if isinstance(model, Model):
        return as_if(project, with_model(project.manifest, model)), model.name
    if isinstance(model, str):
        return as_if(project, project.manifest), project.manifest.model(model).name
    known = ", ".join(project.manifest.models)
    raise UserError(f"{model!r} is no model", expected=f"a name, one of {known}, or a Model")


def as_if(project: Project, manifest: Manifest) -> Project:
    """Return the project as if its files said something else; it shares every room, and keeps what it computes."""
    from millstream.project.notebook.rows import keep

    _ = project.lake, project.tracking, project.cache, project.read  # opened once, shared by all that is changed
    other = copy.copy(project)
    other.__dict__["manifest"] = manifest
    if manifest != project.manifest:
        other.origin = NOTEBOOK
    other.kept = lambda plan, end, at: keep(other, plan, until=end, static_at=at)[0]
    return other


def with_model(manifest: Manifest, model: Model) -> Manifest:
    """Return a manifest with one model, and the views its features bring along, as a notebook has them."""
    if model.estimator.path.startswith("__main__:"):
        kind = model.estimator.path.partition(":")[2]
        raise DefinitionError(
            f"estimator {kind} is defined in a notebook, where no release could find it",
            expected="a class in a file of the project",
            do=f"put the class into estimator.py in the project's folder, then: from estimator import {kind}",
        )
    views = {**manifest.views, **brought(model.features)}
    models = {**manifest.models, model.name: model}
    said: Iterable[object] = [*manifest.tables.values(), *views.values(), *models.values()]
    return gather(said)


def said_aloud(line: str) -> None:
    """Print a line of progress at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
