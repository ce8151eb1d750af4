"""A project's addresses and options: ``millstream.toml``, every setting with a default that works."""

from __future__ import annotations

import contextlib
import getpass
import os
import tomllib
from pathlib import Path

import msgspec

from millstream.errors import DefinitionError, NotFound, near
from millstream.types import Clock, ReplayClock, SystemClock, parse_instant

FILE = "millstream.toml"


class Addresses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where state lives; relative paths are relative to the project."""

    lake: str = ".millstream/lake"
    state: str = ".millstream"
    online: str = ".millstream/online"


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses the servers bind; port 0 takes a free one and prints it."""

    host: str = "127.0.0.1"
    scoring_port: int = 8311
    control_port: int = 8310


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A labelled replay clock in place of the machine's."""

    start: str
    label: str


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything ``millstream.toml`` can say.

    Parameters
    ----------
    name
        Name of the project.
    timezone
        Zone of days on pages and in monitors.
    """

    name: str = "project"
    timezone: str = "UTC"
    addresses: Addresses = Addresses()
    server: Server = Server()
    replay: Replay | None = None


class Places(msgspec.Struct, frozen=True):
    """Folders and files of a project, absolute."""

    root: Path
    lake: Path
    state: Path
    online: Path

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
        """What can be computed again: training sets of notebooks."""
        return self.state / "cache"

    @property
    def clock(self) -> Path:
        """Instant of the replay clock."""
        return self.state / "clock"


def whoami() -> str:
    """Return who acts, as asserted: MILLSTREAM_USER, else the login name."""
    with contextlib.suppress(OSError, KeyError):
        return os.environ.get("MILLSTREAM_USER") or getpass.getuser()
    return "somebody"


def read(root: Path) -> Settings:
    """Read ``millstream.toml`` of a project.

    Raises
    ------
    NotFound
        When the folder is not a project.
    DefinitionError
        When the file is not TOML or says something unknown.
    """
    file = root / FILE
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Settings)
    except FileNotFoundError:
        raise NotFound(
            f"{root} is not a Millstream project: it has no {FILE}",
            do="millstream init DIR --example flights, or --project DIR",
        ) from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as wrong:
        raise DefinitionError(f"{file}: {wrong}", expected=near("", Settings.__struct_fields__)) from None


def places(root: Path, settings: Settings) -> Places:
    """Resolve a project's addresses."""
    root = root.resolve()
    return Places(
        root=root,
        lake=root / settings.addresses.lake,
        state=root / settings.addresses.state,
        online=root / settings.addresses.online,
    )


def clock(settings: Settings, where: Places) -> Clock:
    """Return the project's one clock: the replay's where there is one, else the machine's."""
    if settings.replay is None:
        return SystemClock()
    return ReplayClock(where.clock, start=parse_instant(settings.replay.start))
