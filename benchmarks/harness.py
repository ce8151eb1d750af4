"""One work: what is measured, ours and the bare limit in turn, and the most memory a process of its own needs.

A module of this folder lists its works in ``WORKS``, name to a callable that measures and returns a record: a ``Work``,
or any function where a work is not two callables in one process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired, Protocol, TypedDict

ROOT = Path(__file__).parents[1]
ROUNDS = 7
ENOUGH_S = 20.0
"""A peer that has taken so long is not asked again."""


class Record(TypedDict):
    """One line of ``results.json``."""

    work: str
    size: str
    unit: str
    better: Literal["lower", "higher"]
    ours: float
    limit: float
    peers: dict[str, float]
    peak_mb: float
    least: NotRequired[dict[str, float]]  # the quickest run of each, beside the medians
    curve: NotRequired[list[dict[str, float]]]  # the same at other sizes
    cpu: NotRequired[dict[str, float]]  # seconds of all cores, medians: what a busy machine changes least
    peers_peak_mb: NotRequired[dict[str, float]]
    peers_said: NotRequired[dict[str, str]]  # what their answers are worth, where they are not ours
    load: NotRequired[float]  # the machine's, over a minute, when the work was done


class Peer(Protocol):
    """Another library that does the same."""

    peak_mb: float
    cpu_s: float
    said: str

    def __call__(self) -> float:
        """Do it once; return the seconds."""


@dataclass(frozen=True)
class Work:
    """Something two callables do, timed in seconds.

    Parameters
    ----------
    name
        As ``ONLY`` and ``results.json`` write it.
    size
        How much is done, in words.
    setup
        Makes what both are given; not timed.
    ours, limit
        Do it, given that.
    in_children
        Whether the work is done by processes they start, whose memory then counts.
    peers
        Starts other libraries, given that; each does it once when called and returns the seconds.
    curve
        Other sizes at which ours and the limit are measured too: how many rows, and what makes these.
    rounds
        How often each is run, beside the first that does not count.
    each
        How many times a call does the same; the figures are then microseconds of one.
    """

    name: str
    size: str
    setup: Callable[[], Any]
    ours: Callable[[Any], object]
    limit: Callable[[Any], object]
    in_children: bool = False
    peers: Callable[[Any], AbstractContextManager[Mapping[str, Peer]]] | None = None
    curve: tuple[tuple[int, Callable[[], Any]], ...] = ()
    rounds: int = ROUNDS
    each: int = 0

    def __call__(self) -> Record:
        """Run ours and the limit in turn, after one run of each that does not count; return the medians."""
        given = self.setup()
        with self.peers(given) if self.peers else nullcontext({}) as peers:
            took, cpu = self._took(given, peers)
            peaks = {name: each.peak_mb for name, each in peers.items()}
            said = {name: each.said for name, each in peers.items() if each.said}
        del given
        bare = {name: took[name] for name in ("ours", "limit")}
        record: Record = {
            "work": self.name,
            "size": self.size,
            "unit": "us" if self.each else "s",
            "better": "lower",
            **self._medians(bare),
            "peers": self._medians({name: took[name] for name in peaks}),
            "least": {name: round(min(runs) * self._scale, 4) for name, runs in took.items()},
            "cpu": self._medians(cpu),
            "load": round(os.getloadavg()[0], 1),
            "peak_mb": in_a_process("peak", self.name, read=float),
        }
        if peaks:
            record["peers_peak_mb"] = peaks
        if said:
            record["peers_said"] = said
        if self.curve:
            record["curve"] = [
                {
                    "rows": rows,
                    **self._point(setup()),
                    "peak_mb": in_a_process("peak", self.name, str(place), read=float),
                }
                for place, (rows, setup) in enumerate(self.curve)
            ]
        return record

    def _point(self, given: Any) -> dict[str, float]:
        took, cpu = self._took(given, {})
        return {**self._medians(took), **{f"{name}_cpu": spent for name, spent in self._medians(cpu).items()}}

    @property
    def _scale(self) -> float:
        return 1e6 / self.each if self.each else 1.0

    def _medians(self, took: dict[str, list[float]]) -> Any:
        return {name: round(statistics.median(runs) * self._scale, 4) for name, runs in took.items()}

    def _took(self, given: Any, peers: Mapping[str, Peer]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """Run all in turn; the first turn does not count, and a peer that is slow is asked less often."""
        took: dict[str, list[float]] = {name: [] for name in ("ours", "limit", *peers)}
        cpu: dict[str, list[float]] = {name: [] for name in took}
        for turn in range(self.rounds + 1):
            for name, run in (("ours", self.ours), ("limit", self.limit)):
                begun, spent = time.perf_counter(), time.process_time()
                run(given)
                if turn:
                    took[name].append(time.perf_counter() - begun)
                    cpu[name].append(time.process_time() - spent)
            for name, peer in peers.items():
                if sum(took[name]) > ENOUGH_S:
                    continue
                seconds = peer()
                if turn or seconds > ENOUGH_S:
                    took[name].append(seconds)
                    cpu[name].append(peer.cpu_s)
        return took, cpu

    def peak_mb(self, point: int | None = None) -> float:
        """Do ours once, at its size or at one of the curve; return the most memory this process had, or its own."""
        import resource

        self.ours(self.setup() if point is None else self.curve[point][1]())
        who = resource.RUSAGE_CHILDREN if self.in_children else resource.RUSAGE_SELF
        return round(resource.getrusage(who).ru_maxrss / 1000, 1)


def in_a_process(word: str, work: str, *more: str, read: Callable[[str], Any]) -> Any:
    """Run ``benchmarks.run WORD WORK`` in a process of its own and read the last line it prints."""
    command = [sys.executable, "-m", "benchmarks.run", word, work, *more]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{work} failed: see above")
    return read(done.stdout.splitlines()[-1])
