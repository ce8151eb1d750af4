"""A project and its rooms."""

from __future__ import annotations

import importlib
import inspect
import sys
import threading
import typing
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream import settings as settings_
from millstream.definitions.broken import placed
from millstream.definitions.load import definition_files, load
from millstream.definitions.manifest import Manifest
from millstream.errors import ExpressionError, IntegrityError, NotFound, Refused, UserError, near
from millstream.ledger import Ledger
from millstream.project.answering.waits import Waits
from millstream.project.door import Door, said_aloud
from millstream.project.named import refuse_metrics
from millstream.state import State
from millstream.state.lock import ProjectLock

if TYPE_CHECKING:
    from millstream.features import FeatureEngine
    from millstream.features.online import LmdbOnline, Writer
    from millstream.features.online.live import Live
    from millstream.lake import Lake
    from millstream.project.answering.answers import Marks
    from millstream.releases import Releases
    from millstream.tracking import Tracking

OWN = "predictions"
"""The table that the lake writes itself, of the answers."""
COMMANDS = {
    "ingest": "tables.data:refresh",
    "refresh": "tables.data:refresh",
    "check": "tables.data:check",
    "sql": "tables.data:sql",
    "quarantine": "tables.quarantining:masked",
    "let_back": "tables.quarantining:let_back",
    "suggest": "tables.suggesting:suggest",
    "missing": "tables.missing:missing",
    "profile": "tables.profiles:profile",
    "pin": "tables.pins:pin",
    "branch": "branches.branches:branch",
    "branches": "branches.branches:branches",
    "edit": "branches.branches:edit",
    "changes": "branches.diff:changes",
    "rebase": "branches.branches:rebase",
    "discard": "branches.branches:discard",
    "release_rows": "branches.release:release_rows",
    "catalog": "catalog.tables:catalog",
    "lineage": "catalog.lineage:lineage",
    "reads": "catalog.reads:reads",
    "views": "models.learn:views",
    "train": "models.learn:train",
    "register": "models.logged:register",
    "backtest": "models.learn:backtest",
    "features_audit": "models.featured:audit",
    "reproduce": "models.learn:reproduce",
    "release": "models.ship:release",
    "tried": "models.ship:tried",
    "approve": "models.ship:approve",
    "reject": "models.ship:reject",
    "note": "models.decide:note",
    "decision": "models.decide:decision",
    "decisions": "models.decide:decisions_taken",
    "rollback": "models.ship:rollback",
    "score": "answering.answer:score",
    "why": "answering.answer:why",
    "monitor": "watch:monitor",
    "retrain": "wheel:retrain",
    "status": "prove:status",
    "look": "look:look",
    "ready": "models.ready:ready",
    "audit": "prove:audit",
    "verify": "prove:verify",
    "features_parity": "parity:parity",
    "backup": "backups:backup",
    "gc": "housekeeping:gc",
    "compact": "housekeeping:compact",
    "usage": "housekeeping:usage",
    "lost": "prove:lost",
    "mirror": "models.mirror:mirror",
    "reconcile": "models.mirror:reconcile",
}
"""Command to the function that carries it out, ``file:function`` of this room."""

IN_WORKER = frozenset({"train", "register", "backtest", "reproduce", "features_audit", "mirror", "reconcile"})
"""Commands that import user code or MLflow, and so run in a worker wherever a control plane is up."""


BY_COMMAND = frozenset(
    {
        "ingest",
        "refresh",
        "check",
        "let_back",
        "release",
        "approve",
        "reject",
        "rollback",
        "retrain",
        "discard",
        "release_rows",
    }
)
"""What changes production, and so is done by a command, the page or the loop, and not by a notebook."""


class Project(Door):
    """A project: a git folder with ``millstream.toml`` and definitions.

    Parameters
    ----------
    root
        Its folder.
    lock
        Take the project's lock, as a command does that works without a control plane.
    holder
        Who holds the lock, for the message others get.
    environment
        Where to stand: ``prod``, or an overlay such as ``dev``; else what ``MILLSTREAM_ENV`` says, else production.
    notebook
        Refuse what changes production, with the way to do it.

    Raises
    ------
    NotFound
        When the folder is not a project.
    Conflict
        When another process holds the lock.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        lock: bool = False,
        holder: str = "a command",
        environment: str | None = None,
        notebook: bool = False,
    ) -> None:
        self.root = Path(root).resolve()
        self.settings = settings_.read(self.root, environment)
        self._notebook = notebook
        self.places = settings_.places(self.root, self.settings)
        self.clock = settings_.clock(self.settings, self.places)
        self._lock = ProjectLock(self.places.run, holder=holder) if lock else None
        self._opening = threading.RLock()
        self.posted = threading.Event()
        """Set when rows were posted that are not served yet."""
        self.waits = Waits()
        """How long posted rows waited until they were served."""
        self.tell: Callable[[], object] = lambda: self.run("mirror")
        """Tell other systems what became true; a control plane lets its worker do it while nobody waits."""
        self.progress: Callable[[str], None] = lambda line: None
        """Called with a line at each stage of long work; a notebook prints it."""
        self.said: Callable[[str], None] = lambda line: self.progress(line)
        """Called with each line that a running step prints; a terminal shows it."""
        self.aside: Callable[[], AbstractContextManager[object]] = nullcontext
        """Makes a context in which long work of others' code runs; a control plane lets others work meanwhile."""

    @cached_property
    def state(self) -> State:
        """The state database.

        Raises
        ------
        IntegrityError
            When it is gone while releases that only it can have named are still there.
        """
        file, releases = self.places.state_db, self.places.releases
        gone = not file.exists() or not file.stat().st_size
        if gone and releases.is_dir() and any(not each.name.startswith(".") for each in releases.iterdir()):
            raise IntegrityError(
                f"{file} is {'empty' if file.exists() else 'gone'}, with the ledger, the decisions and what is live",
                expected=f"the state in which the releases in {releases} were made",
                do=f"bring {file.name} back from a backup; to begin anew, move {self.places.state} away",
            )
        return State(file)

    @cached_property
    def marks(self) -> Marks:
        """Where the answers of some day begin in segments that are not sealed."""
        from millstream.project.answering.answers import Marks

        return Marks()

    @cached_property
    def ledger(self) -> Ledger:
        """Who did what."""
        return Ledger(self.state, self.clock)

    @cached_property
    def manifest(self) -> Manifest:
        """What the definitions say."""
        found = load(self.root, cache=self.places.manifests, damaged=self._damaged)
        refuse_metrics(found)
        settings_.refuse_unknown_tables(self.root, self.settings, {*found.tables, OWN})
        return found

    def _damaged(self, manifest: Path) -> None:
        """Say, and write down, that a kept manifest was not what was written."""
        says = f"{manifest.name} in {manifest.parent} was altered or damaged; it is made again from the definitions"
        sys.stderr.write(f"millstream: {says}\n")
        if self.places.state_db.exists():
            self.ledger.record(actor="system", act="manifest.damaged", subject=manifest.name, detail={"says": says})

    @cached_property
    def lake(self) -> Lake:
        """Tables and their versions."""
        from millstream.lake import Lake

        return Lake(self.manifest, self.places, state=self.state, ledger=self.ledger, clock=self.clock)

    @cached_property
    def tracking(self) -> Tracking:
        """Runs and registered models: the only door to MLflow."""
        from millstream.tracking import Tracking

        return Tracking(self.places)

    @cached_property
    def releases(self) -> Releases:
        """Signed bundles, what people decided about them, and which is live."""
        from millstream.releases import Releases

        return Releases(self.places, state=self.state, ledger=self.ledger, clock=self.clock)

    @cached_property
    def engine(self) -> FeatureEngine:
        """Who computes features."""
        from millstream.features import PolarsEngine

        return PolarsEngine(settings_.parse_size(self.settings.engine.memory) or 0)

    @cached_property
    def online(self) -> LmdbOnline:
        """Served features; this process is their one writer."""
        from millstream.features.online import LmdbOnline

        return LmdbOnline(self.places.online)

    @cached_property
    def writer(self) -> Writer:
        """What keeps served features current."""
        from millstream.features.online import Writer

        return Writer(self.online, self.engine)

    @property
    def live(self) -> Live:
        """What keeps served features current between two versions, fact by fact; one, whichever threads ask for it."""
        with self._opening:
            return self._live

    @cached_property
    def _live(self) -> Live:
        from millstream.features.online.live import Live
        from millstream.project.tables.served_facts import LakeFacts

        return Live(self.writer, LakeFacts(self))

    @property
    def served(self) -> bool:
        """Whether features were ever written to be served."""
        return (self.places.online / "data.mdb").exists()

    def run(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Carry out a command by name and return its record as plain data.

        Raises
        ------
        NotFound
            For a command that does not exist.
        UserError
            For an argument the command does not take.
        """
        if command not in COMMANDS:
            raise NotFound(f"there is no command {command!r}", do=near(command, COMMANDS))
        if self._notebook and command in BY_COMMAND and not self.settings.overlay:
            raise Refused(
                f"{command} changes production, which a notebook does not",
                expected="an environment of your own, or the command in a terminal",
                do=f"millstream.open(environment='dev') to try it; millstream {command} to do it",
            )
        file, _, name = COMMANDS[command].partition(":")
        function = getattr(importlib.import_module(f"millstream.project.{file}"), name)
        from millstream.project.telling import unquoted

        try:
            with unquoted(self, str((arguments or {}).get("actor", ""))):
                return msgspec.to_builtins(function(self, **checked(command, function, arguments or {})))
        except ExpressionError as wrong:
            raise placed(wrong, definition_files(self.root)) from None

    def close(self) -> None:
        """Let go of everything held open."""
        for room in ("online", "state"):
            if room in self.__dict__:
                self.__dict__.pop(room).close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checked(command: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a command, each there if it must be and of the type it has.

    Raises
    ------
    UserError
        For an argument the command does not take, one that is missing, or one of another type.
    """
    hints = typing.get_type_hints(function, localns={"Project": object})
    takes = {
        name: each for name, each in inspect.signature(function).parameters.items() if each.kind is each.KEYWORD_ONLY
    }
    unknown = sorted(set(arguments) - set(takes))
    if unknown:
        raise UserError(f"{command} takes no {', '.join(unknown)}", expected=", ".join(takes))
    missing = [name for name, each in takes.items() if each.default is each.empty and name not in arguments]
    if missing:
        raise UserError(f"{command} needs {', '.join(missing)}", expected=", ".join(takes))
    actor = arguments.get("actor")
    if isinstance(actor, str) and not actor.isprintable():  # it is shown on pages and in terminals, and kept for ever
        raise UserError(f"{actor!r} is no name", expected="who does this, in letters that can be shown")
    try:
        return {name: msgspec.convert(value, hints[name]) for name, value in arguments.items()}
    except msgspec.ValidationError as wrong:
        said = ", ".join(f"{name}: {getattr(hints[name], '__name__', hints[name])}" for name in arguments)
        raise UserError(f"{command} cannot use what it was given: {wrong}", expected=said) from None


def open(root: str | Path = ".", *, environment: str | None = None) -> Project:
    """Open a project for reading, training and scoring from a notebook or script.

    The nearest project upward of a folder is meant, so a notebook in ``notebooks/`` opens ``"."``. It takes no lock:
    servers, commands and other notebooks may work beside it. The folder is importable afterwards, so that
    ``from flights import late`` finds the definitions.

    Parameters
    ----------
    root
        The project's folder.
    environment
        Where to stand: ``prod`` reads production and may train, but changes nothing that answers; ``dev`` or any
        other name reads the same tables at the same versions and keeps all it writes to itself.

    >>> import millstream
    >>> millstream.open("nowhere")
    Traceback (most recent call last):
    ...
    millstream.errors.NotFound: ...
    """
    here = Path(root).resolve()
    home = next((each for each in (here, *here.parents) if here.is_dir() and (each / settings_.FILE).exists()), here)
    project = Project(home, environment=environment, notebook=True)
    if str(home) not in sys.path:
        sys.path.append(str(home))
    project.progress = said_aloud
    return project
