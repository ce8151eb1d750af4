"""A store whose file was cut: touching what is gone would end the process, so it is noticed before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.features.online.store import Damaged, LmdbOnline

PROGRAM = """
import os, shutil, sys
from pathlib import Path
from millstream.errors import Unavailable
from millstream.features.online.store import Damaged, LmdbOnline

KEYS = [b"%06d" % each for each in range(1500)]

def reads(store):
    with store.snapshot() as snapshot:
        return sum(snapshot.get(each) is not None for each in KEYS)

ASKED = {
    "reader": reads, "writer": reads, "keys": lambda store: store.keys(b"0"),
    "commit": lambda store: store.commit([(each, b"x" * 900) for each in KEYS]),
}
whole = Path(sys.argv[1])
store = LmdbOnline(whole / "it")
store.commit([(each, b"v" * 300) for each in KEYS])
store.close()
for who, asks in ASKED.items():
    for held in (True, False):
        for left in (0, 100, 4096, 8192, 3 * 4096, None):
            path = Path(shutil.copytree(whole / "it", whole / f"{who}-{held}-{left}"))
            file, opened = path / "data.mdb", None
            if held:
                opened = LmdbOnline(path, readonly=who == "reader")
                assert reads(opened) == len(KEYS)
            os.truncate(file, file.stat().st_size // 2 if left is None else left)
            try:
                opened = opened or LmdbOnline(path, readonly=who == "reader")
                print(who, held, left, "answered", asks(opened))
            except Damaged as wrong:
                assert "it ends after" in wrong.happened, wrong
            finally:
                if opened is not None:
                    opened.close()
print("all were told")
"""


def test_a_cut_file_is_told_before_a_page_is_touched(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "all were told\n"), done  # -7 is SIGBUS


def test_a_commit_leaves_the_file_as_long_as_its_head_says(tmp_path: Path) -> None:
    """LMDB does not write pages that a commit both takes and frees; at the end of a file they would look cut off."""
    store, file = LmdbOnline(tmp_path), tmp_path / "data.mdb"
    store.commit([(b"%04d" % each, b"v" * 500) for each in range(100)])
    whole = file.stat().st_size
    assert whole == (store._env.info()["last_pgno"] + 1) * store._env.stat()["psize"]
    os.truncate(file, whole - 4096)  # as if its last page had not been written
    store._extent.fill(store._env)
    assert file.stat().st_size == whole and not store.lost
    store.close()


READER = """
import os, sys, time
from pathlib import Path
from millstream.features.online.store import Damaged, LmdbOnline

reader, file = LmdbOnline(Path(sys.argv[1]), readonly=True), Path(sys.argv[1]) / "data.mdb"
print(file.stat().st_size, flush=True)
small = int(sys.stdin.readline())
reader._look_at = 0.0
with reader.snapshot() as snapshot:
    assert bytes(snapshot.get(b"0001")) == b"v" * 500
os.truncate(file, small + 4096)
try:
    reader.snapshot()
except Damaged as wrong:
    print(wrong.happened)
"""


def test_what_was_written_since_a_reader_began_belongs_to_the_file_as_well(tmp_path: Path) -> None:
    writer = LmdbOnline(tmp_path)
    writer.commit([(b"a", b"1")])
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        small = reader.stdout.readline()
        writer.commit([(b"%04d" % each, b"v" * 500) for each in range(500)])
        told, _ = reader.communicate(small, timeout=60)
    assert "it ends after" in told and reader.returncode == 0
    with pytest.raises(Damaged, match="it ends after"):
        writer.snapshot()
    assert writer.lost
    writer.reopen()
    assert not writer.lost and writer.keys(b"") == []
    writer.close()
