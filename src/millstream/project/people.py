"""The one door by which people read rows: masked and filtered as their role says, and on the ledger.

``sql``, a notebook's ``table`` and ``training_set``, ``profile``, ``score`` and ``why`` all come through here. The
platform itself (checks, training, serving, monitoring) reads whole rows, each training as a row of the ledger.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream import settings
from millstream.definitions.table import Table
from millstream.errors import DefinitionError, NotFound, Refused, near
from millstream.settings import FILE, Role
from millstream.state import versions

if TYPE_CHECKING:
    import polars as pl

    from millstream.features.plan import FeaturePlan
    from millstream.lake.derived.sensitive import Tags
    from millstream.lake.masking import Sight
    from millstream.project.root import Project

ALL = "all"
"""Written in the place of a list of columns when every column of a table was read."""
_OWN_MASKS = {"key": "hash", "record": "null"}
"""The log of predictions holds keys and features of rows; whoever sees any column masked sees these so."""
_FEW = 100


class Person:
    """Reads for one person.

    Parameters
    ----------
    project
        Whose tables.
    actor
        Who reads, as asserted.

    Raises
    ------
    DefinitionError
        When the person's role says rows of a table that nobody defines.
    """

    def __init__(self, project: Project, actor: str) -> None:
        self.project = project
        self.actor = actor
        self._roles = roles_now(project.root, project.settings.roles)
        self.role, self._said = _role_of(self._roles, actor)
        self._sights: dict[str, Sight] = {}
        unknown = [] if self._said is None else [each for each in self._said.rows if each not in self._tables()]
        if unknown:
            raise DefinitionError(
                f"roles.{self.role}.rows names table {unknown[0]!r}, which nothing defines",
                do=near(unknown[0], self._tables()),
            )

    @property
    def sees_all(self) -> bool:
        """Whether everything is seen: where there are no roles, and in one that hides nothing."""
        said = self._said
        return said is None or (not said.rows and "*" in said.mask and set(said.mask.values()) == {"show"})

    @property
    def _who(self) -> str:
        return f"role {self.role}" if self.role else self.actor

    def sight(self, table: str) -> Sight:
        """Return what this person sees of a table.

        Raises
        ------
        Refused
            For a table computed from one of which the person sees only some rows, unless the role says its rows too.
        """
        from millstream.lake.masking import Sight

        if self._said is None:
            return Sight()
        if table not in self._sights:
            self._sights[table] = Sight(self.role, self._masks(table), self._where(table))
        return self._sights[table]

    def rows(
        self,
        table: str,
        *,
        version: int | None = None,
        columns: Iterable[str] | None = None,
        between: tuple[datetime | None, datetime | None] | None = None,
        at: datetime | None = None,
        trusted: bool = True,
    ) -> tuple[pl.DataFrame, int]:
        """Read rows of a version as this person sees them; return them with the version's number.

        Parameters
        ----------
        table, version, columns, between, trusted
            As in ``Lake.read``.
        at
            As believed at this instant.

        Raises
        ------
        Refused
            For a range, or an instant, of a time this person sees masked: answers to many would tell it.
        """
        from millstream.lake.bitemporal.beliefs import settled
        from millstream.lake.bitemporal.moment import known_at
        from millstream.lake.masking import filtered, masked

        sight = self.sight(table)
        self._refuse_times(table, sight, ranged=between is not None, known=at is not None)
        wanted = None if columns is None else list(dict.fromkeys(columns))
        definition = self.project.manifest.tables.get(table)
        history = definition is not None and definition.history  # which row of a key holds follows from all columns
        fewer = wanted if at is None and sight.where is None and not history else None
        read = self.project.lake.read(table, version=version, columns=fewer, between=between, trusted=trusted)
        frame = settled(read).frame.select(list(read.schema)) if at is None else known_at(read, at).frame
        frame = filtered(frame, sight, table=table)
        if wanted is not None:
            for each in wanted:
                if each not in frame.columns:
                    raise NotFound(f"table {table!r} has no column {each!r}", do=near(each, frame.columns))
            frame = frame.select(wanted)
        return masked(frame, sight.masks, **self._secret(sight.masks)), read.version

    def query(
        self,
        sql: str,
        *,
        as_of: str | datetime | None = None,
        as_seen: str | datetime | None = None,
        at: Mapping[str, int] | None = None,
    ) -> tuple[pl.DataFrame, dict[str, int], dict[str, list[str]], dict[str, str]]:
        """Run one SELECT over what this person sees, of tables as they are or as they were (see ``moment.ask``).

        Returns
        -------
        Rows, versions, the columns read of each table, and the instants that were meant.
        """
        from millstream.lake.bitemporal.moment import ask
        from millstream.lake.derived.columns import columns_read
        from millstream.lake.frame import TableFrame

        schemas: dict[str, Mapping[str, Any]] = {}

        def read(name: str, version: int | None, instant: datetime | None) -> TableFrame:
            frame, number = self.rows(name, version=version, at=instant)
            schemas[name] = self.project.lake.version(name, number).schema
            return TableFrame(name, number, frame, dict.fromkeys(frame.columns, "varchar"), (), None)

        now = self.project.clock.now()
        frame, pins, meant = ask(self.project.lake, sql, now=now, as_of=as_of, as_seen=as_seen, at=at, read=read)
        return frame, dict(pins), columns_read(sql, schemas), meant

    def hide(self, frame: pl.DataFrame, masks: Mapping[str, str]) -> pl.DataFrame:
        """Mask columns of a frame that was computed from whole rows."""
        from millstream.lake.masking import masked

        return masked(frame, masks, **self._secret(masks))

    def hide_values(self, said: Mapping[str, Any], masks: Mapping[str, str]) -> dict[str, Any]:
        """Mask values by name: a hash where the mask is one and the value a text or number, else nothing is shown."""
        import polars as pl

        shown = dict(said)
        for name in masks:
            if masks[name] != "show" and shown.get(name) is not None:
                value = shown[name]
                plain = isinstance(value, str | int | float) and not isinstance(value, bool)
                frame = self.hide(pl.DataFrame({name: [value if plain else str(value)]}), {name: masks[name]})
                shown[name] = frame[name][0]
        return shown

    def mask_of(self, table: str, columns: Iterable[str]) -> str:
        """Return the strictest mask of any of some columns of a table, ``show`` where none has one."""
        from millstream.lake.masking import strictest

        masks = self.sight(table).masks
        return strictest(masks[each] for each in columns if each in masks)

    def mask_of_known(self, table: str) -> str:
        """Return the strictest mask of any column that says when rows of a table became known."""
        definition = self.project.manifest.tables.get(table)
        if definition is None or not self.sight(table).masks:
            return "show"
        return self.mask_of(table, {*self._told_known(table), definition.event_time or ""})

    def masks_of_plan(self, plan: FeaturePlan, *, keys: bool = False, changed: bool = False) -> dict[str, str]:
        """Return what of a model's rows, features and label this person sees masked.

        Parameters
        ----------
        plan
            What the model reads.
        keys
            Whether the person sends the keys: a feature of an entity they may not see would tell whether it exists.
        changed
            Whether the person wrote the definition: which rows there are must then not follow from masked columns.

        Raises
        ------
        Refused
            When the person sees only some rows of a table behind it.
        """
        from millstream.lake.masking import strictest

        if self._said is None:
            return {}
        self._refuse_filtered(plan)
        found = {name: self._column(plan, name) for name in _row_columns(plan)}
        for view in plan.views:
            for feature, window in view.features.items():
                read = [*(window.value.columns if window.value is not None else ()), *(view.entity if keys else ())]
                found[f"{view.name}.{feature}"] = self.mask_of(view.table, read)
        for name, said in plan.request_features.items():
            found[name] = self.mask_of(plan.rows_table, said.columns)
        for name, said in plan.combined.items():
            masks = [found[each] for each in said.columns if each in found]
            found[name] = strictest([self.mask_of(plan.rows_table, said.columns), *masks])
        label = plan.label.columns if plan.label is not None else ()
        found["label"] = self.mask_of(plan.rows_table, label)
        if plan.ahead is not None:
            parts = (plan.ahead.value, plan.ahead.where)
            found["label"] = self.mask_of(
                plan.ahead.table, [n for each in parts if each is not None for n in each.columns]
            )
        when = plan.decide_at.columns if plan.decide_at is not None else (plan.event_time,) if plan.event_time else ()
        found["decided_at"] = self.mask_of(plan.rows_table, when)
        told = plan.ahead.table if plan.ahead is not None else plan.rows_table
        found["label_known_at"] = strictest((found["decided_at"], self.mask_of_known(told)))
        deciding = plan.where.columns if plan.where is not None else ()
        if changed and self.mask_of(plan.rows_table, deciding) != "show":
            raise Refused(
                f"which rows there are would follow from columns that {self._who} sees masked",
                expected="where=... over columns that may be seen",
            )
        return {name: mask for name, mask in found.items() if mask != "show"}

    def record(
        self, pins: Mapping[str, int], reads: Mapping[str, Iterable[str]], detail: Mapping[str, Any] | None = None
    ) -> None:
        """Write down on the ledger what was read: one row a read, however many rows it gave."""
        told = {name: self._told(name, columns) for name, columns in reads.items()}
        masked = {name: sorted(self.sight(name).masks)[:_FEW] for name in pins if self._said is not None}
        record_read(
            self.project,
            self.actor,
            pins,
            told,
            {
                **(detail or {}),
                **({"role": self.role or "none"} if self._said is not None else {}),
                **({"masked": {name: each for name, each in masked.items() if each}} if any(masked.values()) else {}),
            },
        )

    def _told(self, table: str, columns: Iterable[str]) -> list[str] | str:
        head = versions.head(self.project.state, table)
        return columns_told(columns, () if head is None else head.schema)

    def _tables(self) -> set[str]:
        return {*self.project.manifest.tables, *self.project.lake.heads()}

    def _masks(self, table: str) -> dict[str, str]:
        from millstream.lake.masking import strictest

        assert self._said is not None
        words = self._said.mask
        own = table not in self.project.manifest.tables
        if own:
            any_ = any(self._masks(each) for each in self.project.manifest.tables)
            head = versions.head(self.project.state, table)
            there = {} if head is None else head.schema
            return {name: mask for name, mask in _OWN_MASKS.items() if name in there} if any_ else {}
        found = {
            column: strictest(words.get(word, words.get("*", "null")) for word in said)
            for column, said in tags(self.project, table).items()
        }
        return {column: mask for column, mask in found.items() if mask != "show"}

    def _where(self, table: str) -> Any:
        from millstream.expressions import parse

        assert self._said is not None
        if table in self._said.rows:
            schema = self.project.lake.head(table).schema
            where = f"roles.{self.role}.rows.{table}"
            said = parse(self._said.rows[table], schema, where=where)  # type: ignore[arg-type]
            if said.dtype != "boolean":
                raise DefinitionError(f"{where} is a {said.dtype}", expected="an expression that is true or false")
            return said
        everybody = self._roles.values()
        limited = set(self._said.rows) if self.role else {each for role in everybody for each in role.rows}
        if table in limited:  # somebody in no role, where roles see only some rows
            return False
        own = table not in self.project.manifest.tables
        behind = limited if own else limited & _behind(self.project, table)
        if behind:
            raise Refused(
                f"{table} is computed from {', '.join(sorted(behind))}, of which {self._who} sees only some rows",
                expected=f"rows of {table} said as well: in millstream.toml, roles.ROLE.rows.{table} = 'true' or fewer",
            )
        return None

    def _told_known(self, table: str) -> set[str]:
        """Name the columns from which follows when rows of a table became known."""
        from millstream.lake.derived.columns import Columns

        bases = Columns(self.project.lake.catalog).of(table).times.values()
        return {column for each in bases for _, column in each}

    def _refuse_times(self, table: str, sight: Sight, *, ranged: bool, known: bool) -> None:
        definition = self.project.manifest.tables.get(table)
        if definition is None or not sight.masks or not (ranged or known):
            return
        times = {definition.event_time} if definition.event_time else set()
        if known:
            times |= self._told_known(table)
        hidden = sorted(each for each in times if each in sight.masks)
        if hidden:
            raise Refused(
                f"{'as_of' if known else 'between'} asks about {table}.{hidden[0]}, which {self._who} sees masked",
                expected="rows of all times, to choose from as they are shown",
            )

    def _refuse_filtered(self, plan: FeaturePlan) -> None:
        for table in plan.learnt_from:
            if self.sight(table).where is not None:
                raise Refused(
                    f"rows of {plan.model} are joined from {table}, of which {self._who} sees only some rows",
                    expected="a role that sees them all; training itself reads every row",
                    do=f'millstream sql "select ... from {table}"',
                )

    def _column(self, plan: FeaturePlan, name: str) -> str:
        """Return the mask of a column of the rows, or of an item of a list."""
        mask = self.mask_of(plan.rows_table, [name])
        if mask != "show" or plan.ranking is None:
            return mask
        item = plan.ranking.candidate if name == plan.ranking.item else name
        return self.mask_of(plan.ranking.candidates, [item])

    def _secret(self, masks: Mapping[str, str]) -> dict[str, Any]:
        from millstream.lake.masking import mask_key

        places = self.project.places
        needed = "hash" in masks.values()
        others = None if places.over is None else places.over.keys
        return {"key": mask_key(places.keys, others) if needed else b"", "zone": self.project.settings.timezone}


def tags(project: Project, table: str) -> Tags:
    """Return the sensitive columns of a table, with what they are and where that comes from."""
    from millstream.lake.derived.columns import Columns
    from millstream.lake.derived.sensitive import Sensitivity

    return Sensitivity(project.lake.catalog, Columns(project.lake.catalog)).of(table)


def columns_told(columns: Iterable[str], schema: Iterable[str]) -> list[str] | str:
    """Name columns for the ledger: ``all`` for all of them, and never more than a few."""
    read, every = sorted(set(columns)), set(schema)
    return ALL if (every and every <= set(read)) or len(read) > _FEW else read


def record_read(
    project: Project, actor: str, pins: Mapping[str, int], reads: Mapping[str, Any], detail: Mapping[str, Any]
) -> None:
    """Append the ledger's row of a read: which versions, and which columns of each table."""
    subject = " ".join(f"{name}@{number}" for name, number in sorted(pins.items()))
    project.ledger.record(actor=actor, act="table.read", subject=subject, detail={**detail, "reads": dict(reads)})


def _role_of(roles: Mapping[str, Role], actor: str) -> tuple[str, Role | None]:
    """Return somebody's role; where there are roles and none is theirs, one that sees nothing sensitive."""
    if not roles:
        return "", None
    for name, role in roles.items():
        if actor in role.people:
            return name, role
    return ("default", roles["default"]) if "default" in roles else ("", Role())


def _row_columns(plan: FeaturePlan) -> tuple[str, ...]:
    """Name what a set or an answer holds of the rows themselves."""
    pair = () if plan.ranking is None else plan.pair_columns
    return tuple(dict.fromkeys((*plan.row_key, *plan.spine_columns, *pair)))


def _behind(project: Project, table: str) -> set[str]:
    """Name the tables a table is computed from, however many steps back."""
    said: Callable[[str], Table] = project.manifest.table
    return {found for each in said(table).of for found in {each, *_behind(project, each)}}


def roles_now(root: Path, known: Mapping[str, Role]) -> Mapping[str, Role]:
    """Read the roles of ``millstream.toml`` as they are: a long process obeys a role from when it is written.

    Parameters
    ----------
    root
        The project.
    known
        Roles to go by where there is no such file, as in a copy made for one question.

    Raises
    ------
    DefinitionError
        When the file cannot be understood: nobody reads by what it said before.
    """
    try:
        stands = (root / FILE).stat()
    except FileNotFoundError:
        return known
    return _roles_at(root, stands.st_mtime_ns, stands.st_size, stands.st_ino)


@functools.lru_cache(maxsize=8)
def _roles_at(root: Path, *_: int) -> Mapping[str, Role]:
    return settings.read(root).roles
