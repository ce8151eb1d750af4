"""A project's addresses and options: ``millstream.toml``, every setting with a default that works."""

from __future__ import annotations

import contextlib
import getpass
import math
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from millstream.errors import DefinitionError, IntegrityError, NotFound, UserError, near
from millstream.types import Clock, ReplayClock, SystemClock, parse_duration, parse_instant

FILE = "millstream.toml"
VARIABLE = "MILLSTREAM_ENV"
PRODUCTION = "prod"
"""The environment that ``millstream.toml`` describes; every other one is an overlay of it."""


_LAST_PORT = 65_535
_SHORTEST = timedelta(hours=1)
_LEAST_MEMORY = 64 * 10**6


class Addresses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where state lives; relative paths are relative to the project."""

    lake: str = ".millstream/lake"
    state: str = ".millstream"
    online: str = ".millstream/online"


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses the servers bind; port 0 takes a free one and prints it.

    ``python`` is the interpreter that workers of Python models run on, where the scoring server's own environment
    does not hold what the models need.
    """

    host: str = "127.0.0.1"
    scoring_port: int = 8311
    control_port: int = 8310
    python: str = ""


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A labelled replay clock in place of the machine's."""

    start: str
    label: str


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long what could go is kept; empty is for ever.

    Parameters
    ----------
    versions
        Versions of tables, from when a newer one took their place (``"90d"``, at least an hour).
    tables
        Table to how long its versions are kept instead (``""`` for ever).
    logs
        What steps printed, from when it was last written.
    cache
        What can be computed again, such as training sets of notebooks, from when it was last written.
    """

    versions: str = ""
    tables: dict[str, str] = {}
    logs: str = ""
    cache: str = ""


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many bytes the lake may hold (``"50GB"``, ``"800MiB"``); empty is without limit.

    Parameters
    ----------
    lake
        All files of the lake together.
    cache
        What can be computed again: features and training sets. The least lately used goes first; "0B" keeps nothing.
    tables
        Table to what its files may be.
    """

    lake: str = ""
    cache: str = "2GB"
    tables: dict[str, str] = {}


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What some people read through the project: which columns masked and how, which rows; and where they may post.

    Parameters
    ----------
    people
        Names, as ``MILLSTREAM_USER`` or the login says them; the role ``default`` is that of everybody else.
    mask
        Word of ``Table(sensitive=...)`` to what becomes of such columns: ``show``, ``hash``, ``redact``, ``null``,
        ``day``, ``month``, ``year``, ``bucket:WIDTH``; ``"*"`` for the words not named. A word not said is ``null``.
    rows
        Table to an expression over its rows; only rows for which it is true are read.
    post
        Tables to which they may post rows over HTTP; ``"*"`` for every one.
    """

    people: tuple[str, ...] = ()
    mask: dict[str, str] = {}
    rows: dict[str, str] = {}
    post: tuple[str, ...] = ()


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How features are computed.

    Parameters
    ----------
    memory
        What may be taken (``"512MB"``, at least 64 MB) beside the rows and facts that are read and the features that
        are answered; what would take more is computed some entities at a time.
    """

    memory: str = "512MB"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything ``millstream.toml`` can say.

    Parameters
    ----------
    name
        Name of the project.
    timezone
        Zone of days on pages and in monitors.
    databases
        Name to address of the databases that tables come from (``"postgresql://reader:${SHOP_PASSWORD}@host/shop"``).
        ``${NAME}`` is an environment variable; a password is never written down.
    roles
        Who reads sensitive columns masked, and which rows, and who posts rows; without any, everybody may.
    environment
        Where one stands: ``prod``, or the name of an overlay. Not from the file: ``--env`` or ``MILLSTREAM_ENV``.
    retention
        How long what could go is kept, for ``millstream gc``.
    quota
        How many bytes the lake may hold.
    engine
        How features are computed, and in how much memory.
    """

    name: str = "project"
    timezone: str = "UTC"
    addresses: Addresses = Addresses()
    server: Server = Server()
    replay: Replay | None = None
    databases: dict[str, str] = {}
    roles: dict[str, Role] = {}
    environment: str = PRODUCTION
    retention: Retention = Retention()
    quota: Quota = Quota()
    engine: Engine = Engine()

    @property
    def overlay(self) -> bool:
        """Whether one stands in an overlay, where nothing done reaches production."""
        return self.environment != PRODUCTION


class Places(msgspec.Struct, frozen=True):
    """Folders and files of a project, absolute.

    Parameters
    ----------
    root, lake, state, online
        The project, and where an environment writes.
    over
        In an overlay, the places of production: its tables are read there, nothing of it is written.
    databases
        Name to address of the databases that tables come from, environment variables not yet filled in.
    """

    root: Path
    lake: Path
    state: Path
    online: Path
    over: Places | None = None
    databases: dict[str, str] = {}

    @property
    def state_db(self) -> Path:
        """Pointer, ledger, outbox, policy."""
        return self.state / "state.db"

    @property
    def tracking_db(self) -> Path:
        """MLflow's store."""
        return self.state / "tracking.db"

    @property
    def loop_db(self) -> Path:
        """DBOS's store."""
        return self.state / "loop.db"

    @property
    def artifacts(self) -> Path:
        """MLflow's artifacts."""
        return self.state / "artifacts"

    @property
    def releases(self) -> Path:
        """Release bundles, by content hash."""
        return self.state / "releases"

    @property
    def log(self) -> Path:
        """Segments of the prediction log."""
        return self.state / "log"

    @property
    def keys(self) -> Path:
        """Signing keys."""
        return self.state / "keys"

    @property
    def manifests(self) -> Path:
        """Manifests, by the hash of the definition files."""
        return self.state / "manifests"

    @property
    def run(self) -> Path:
        """Lock, addresses and token of the running processes."""
        return self.state / "run"

    @property
    def cache(self) -> Path:
        """What can be computed again: features and training sets."""
        return self.state / "cache"

    @property
    def clock(self) -> Path:
        """Instant of the replay clock, which all environments share."""
        return (self.over or self).state / "clock"


def whoami() -> str:
    """Return who acts, as asserted: MILLSTREAM_USER, else the login name."""
    with contextlib.suppress(OSError, KeyError):
        return os.environ.get("MILLSTREAM_USER") or getpass.getuser()
    return "somebody"


def read(root: Path, environment: str | None = None) -> Settings:
    """Read ``millstream.toml`` of a project.

    Parameters
    ----------
    root
        The project.
    environment
        Where to stand; else what ``MILLSTREAM_ENV`` says, else production. An overlay's servers take free ports.

    Raises
    ------
    NotFound
        When the folder is not a project.
    DefinitionError
        When the file is not TOML or says something unknown.
    UserError
        When the environment's name is not a short word.
    """
    file = root / FILE
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
        if "environment" in said:
            raise DefinitionError(
                f"{file} says environment", expected=f"it on the command line: --env NAME, or {VARIABLE}=NAME"
            )
        settings = msgspec.convert(said, Settings)
    except FileNotFoundError:
        raise NotFound(
            f"{root} is not a Millstream project: it has no {FILE}",
            do="millstream init DIR --example flights, or --project DIR",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as wrong:
        raise DefinitionError(f"{file}: {wrong}", expected=near("", Settings.__struct_fields__)) from None
    except OSError as wrong:
        raise DefinitionError(f"{file} cannot be read: {wrong.strerror}", expected="a file in TOML") from None
    _refuse_impossible(file, settings)
    chosen = _named(environment or os.environ.get(VARIABLE) or PRODUCTION)
    if chosen == PRODUCTION:
        return settings
    server = msgspec.structs.replace(settings.server, scoring_port=0, control_port=0)
    return msgspec.structs.replace(settings, environment=chosen, server=server)


def _refuse_impossible(file: Path, settings: Settings) -> None:
    """Refuse what only shows later that it cannot be: a zone nobody knows, a port there is none of, a replay's start.

    Raises
    ------
    DefinitionError
        Naming what is wrong.
    """
    try:
        ZoneInfo(settings.timezone)
    except (KeyError, ValueError, OSError):
        known = available_timezones()
        raise DefinitionError(
            f"{file}: there is no time zone {settings.timezone!r}",
            expected="a name such as Europe/Berlin",
            do=near(settings.timezone, known) if settings.timezone else "",
        ) from None
    for name in ("scoring_port", "control_port"):
        port = getattr(settings.server, name)
        if not 0 <= port <= _LAST_PORT:
            raise DefinitionError(
                f"{file}: server.{name} is {port}", expected=f"0 for a free port, or 1 to {_LAST_PORT}"
            )
    _refuse_unkeepable(file, settings)
    for name, address in settings.databases.items():
        password = re.search(r"://[^/@]*:([^@]*)@|password=([^&\s]+)", address)
        if password and not re.fullmatch(r"\$\{\w+\}", password.group(1) or password.group(2) or ""):
            raise DefinitionError(
                f"{file}: the address of databases.{name} holds a password",
                expected=f'an environment variable in its place: "postgresql://user:${{{name.upper()}_PASSWORD}}@host/db"',
                do=f"write ${{{name.upper()}_PASSWORD}} there, and change the password if the file was shared",
            )
    refuse_roles(file, settings.roles)
    if settings.replay is not None:
        try:
            parse_instant(settings.replay.start)
        except ValueError as wrong:
            raise DefinitionError(f"{file}: replay.start: {wrong}") from None


def _refuse_unkeepable(file: Path, settings: Settings) -> None:
    """Refuse lengths and sizes that are none, and versions kept so shortly that somebody may be reading them."""
    kept = settings.retention
    lengths = {"versions": kept.versions, "logs": kept.logs, "cache": kept.cache}
    lengths |= {f"tables.{name}": said for name, said in kept.tables.items()}
    for name, said in lengths.items():
        try:
            length = parse_duration(said) if said else None
        except ValueError as wrong:
            raise DefinitionError(f"{file}: retention.{name}: {wrong}", expected='for instance "90d"') from None
        if length is not None and length < _SHORTEST:
            raise DefinitionError(
                f"{file}: retention.{name} is {said}: what goes so soon may still be read", expected="1h or more"
            )
    sizes = {"lake": settings.quota.lake, "cache": settings.quota.cache}
    for name, said in {**sizes, **settings.quota.tables}.items():
        if said and parse_size(said) is None:
            raise DefinitionError(f"{file}: quota.{name} is {said!r}", expected='a size such as "50GB" or "800MiB"')
    if (parse_size(settings.engine.memory) or 0) < _LEAST_MEMORY:
        raise DefinitionError(
            f"{file}: engine.memory is {settings.engine.memory!r}", expected='a size of 64 MB or more, such as "512MB"'
        )


def refuse_unknown_tables(root: Path, settings: Settings, known: Collection[str]) -> None:
    """Refuse to keep or limit a table that is not there: its name may be wrong, and another's be meant.

    Raises
    ------
    DefinitionError
        With near matches.
    """
    for word, said in (("retention", settings.retention.tables), ("quota", settings.quota.tables)):
        for name in said:
            if name not in known:
                raise DefinitionError(
                    f"{root / FILE}: {word}.tables names {name!r}, and there is no such table", do=near(name, known)
                )


def parse_size(text: str) -> int | None:
    """Read a size such as ``"50GB"`` (10^9) or ``"1.5GiB"`` (2^30) as bytes; None for what is none.

    >>> parse_size("1.5KB"), parse_size("2 MiB"), parse_size("many")
    (1500, 2097152, None)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B", text.strip())
    if found is None:
        return None
    number, unit, binary = found.groups()
    base: float = 1024.0 if binary else 1000.0
    return round(float(number) * math.pow(base, " KMGT".index(unit or " ")))


MASKS = ("show", "hash", "redact", "null", "day", "month", "year", "bucket")
"""What can become of a sensitive column, the mildest first."""


def refuse_roles(file: Path, roles: Mapping[str, Role]) -> None:
    """Refuse roles that say nothing or too much: an unknown mask, somebody in two of them.

    Raises
    ------
    DefinitionError
        Naming the role.
    """
    seen: dict[str, str] = {}
    for name, role in roles.items():
        for word, mask in role.mask.items():
            kind, _, width = mask.partition(":")
            if kind not in MASKS or (kind == "bucket") != bool(re.fullmatch(r"[0-9]*\.?[0-9]*[1-9][0-9]*", width)):
                raise DefinitionError(
                    f"{file}: roles.{name}.mask.{word} is {mask!r}",
                    expected=f"{', '.join(MASKS[:-1])} or bucket:WIDTH",
                    do=near(kind, MASKS),
                )
        if (name == "default") == bool(role.people):
            says = "names people" if role.people else "names nobody"
            raise DefinitionError(
                f"{file}: roles.{name} {says}", expected="people = [...], and none in default, which is everybody else"
            )
        for person in role.people:
            if seen.setdefault(person, name) != name:
                raise DefinitionError(
                    f"{file}: {person!r} is in two roles, {seen[person]} and {name}", expected="one role a person"
                )


def _named(environment: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", environment):
        raise UserError(
            f"{environment!r} is no name for an environment",
            expected="a short word of small letters, digits, - and _, such as dev",
        )
    return environment


def places(root: Path, settings: Settings) -> Places:
    """Resolve a project's addresses; an overlay writes below ``env/NAME`` in the folder of the state."""
    root = root.resolve()
    production = Places(
        root=root,
        lake=root / settings.addresses.lake,
        state=root / settings.addresses.state,
        online=root / settings.addresses.online,
        databases=settings.databases,
    )
    if not settings.overlay:
        return production
    mine = production.state / "env" / settings.environment
    return msgspec.structs.replace(production, lake=mine / "lake", state=mine, online=mine / "online", over=production)


def clock(settings: Settings, where: Places) -> Clock:
    """Return the project's one clock: the replay's where there is one, else the machine's."""
    if settings.replay is None:
        return SystemClock()
    replayed = ReplayClock(where.clock, start=parse_instant(settings.replay.start))
    try:
        replayed.now()
    except (ValueError, OSError) as wrong:
        raise IntegrityError(
            f"{where.clock} does not hold the instant the replay has reached: {wrong}",
            expected="one instant",
            do="write the instant of the newest row of the ledger there; without the file the replay begins anew",
        ) from None
    return replayed
