"""The environment a release was built in: every installed distribution it can reach, by name, version and hash.

The lock is also a requirements file: ``uv pip install -r environment.lock`` rebuilds the environment.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from millstream import version

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_NOT_CONTENT = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
_CPU = ("avx", "avx2", "avx512f", "fma", "sse4_2", "asimd", "sve")
OURS = "millstream"


@lru_cache(maxsize=16)
def lock(estimator: str = "", packages: tuple[str, ...] = ()) -> str:
    """Write down the installed distributions that Millstream and an estimator depend on.

    Parameters
    ----------
    estimator
        Import path such as ``lightgbm.sklearn:LGBMClassifier``; its distribution and what that needs are added.
    packages
        Further packages the model imports; likewise.

    Returns
    -------
    str
        Sorted by name; equal environments give equal texts. The hash of a distribution is over the hashes its
        installer recorded for each installed file, compiled files and scripts (which hold local paths) left out.

    Notes
    -----
    About 100 ms for 100 distributions, once a process: what is installed is taken not to change under it.
    """
    roots = {OURS, *(name for each in (estimator, *packages) for name in _distributions_of(each))}
    lines = [
        f"# python {platform.python_version()} {platform.python_implementation()}",
        f"# platform {platform.system()} {platform.machine()}",
        f"# cpu {' '.join(cpu_features()) or 'unknown'}",
        f"# {OURS} {version.__version__} source sha256:{source_hash()}",
    ]
    found = {name: each for name, each in closure(roots).items() if name != OURS}
    lines += [f"{name}=={found[name].version}  # record sha256:{record_hash(found[name])}" for name in sorted(found)]
    return "\n".join(lines) + "\n"


def closure(roots: set[str]) -> dict[str, metadata.Distribution]:
    """Find the installed distributions reachable from some names; what is not installed is left out."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [canonical(each) for each in roots]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        waiting += [each for each in _needs(found[name]) if each not in found]
    return found


def record_hash(distribution: metadata.Distribution) -> str:
    """Hash what an installer recorded of a distribution's files, the same on every machine."""
    lines = sorted(
        f"{each.as_posix()} {each.hash.mode}={each.hash.value}"
        for each in distribution.files or ()
        if each.hash is not None and ".." not in each.parts and each.suffix != ".pyc" and each.name not in _NOT_CONTENT
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@lru_cache(maxsize=1)
def source_hash() -> str:
    """Hash Millstream's own source files as they lie, installed or edited in place."""
    root = Path(version.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def cpu_features() -> list[str]:
    """List the CPU features that change floating-point results; empty where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
    return [each for each in _CPU if each in flags]


def canonical(name: str) -> str:
    """Spell a distribution's name as the package index does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _needs(distribution: metadata.Distribution) -> Iterator[str]:
    for said in distribution.requires or ():
        requirement, _, marker = said.partition(";")
        named = _NAME.match(requirement)
        if named and "extra" not in marker:
            yield canonical(named[1])


def _distributions_of(estimator: str) -> list[str]:
    top = estimator.partition(":")[0].partition(".")[0]
    return [canonical(each) for each in metadata.packages_distributions().get(top, ())] if top else []
