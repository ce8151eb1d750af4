import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from millstream.errors import BadData, Conflict, Refused, StorageFull, UserError
from millstream.releases import bundle
from millstream.state import releases
from tests.releases.made import TRAINER, House, write_artifact


def test_a_bundle_is_the_artifact_and_what_makes_it_whole(house):
    artifact = house.artifact(0.5)
    release = house.releases.build(artifact, actor=TRAINER, trained_by="zoe", note="first", code={"commit": "abc"})
    manifest = (release.path / "release.json").read_bytes()
    assert release.path == house.places.releases / hashlib.sha256(manifest).hexdigest()
    for each in artifact.iterdir():
        assert (release.path / each.name).read_bytes() == each.read_bytes()
    assert {each.name for each in release.path.iterdir()} == {each.name for each in artifact.iterdir()} | {
        "release.json", "signature", "card.md", "environment.lock"
    }  # fmt: skip
    said = json.loads(manifest)
    assert (said["model"], said["version"], said["previous"], said["built_by"]) == ("late", 1, None, TRAINER)
    assert (said["trained_by"], said["code"]) == ("zoe", {"commit": "abc"})
    assert {name: each["sha256"] for name, each in said["files"].items()} == {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in release.path.iterdir()
        if each.name not in ("release.json", "signature")
    }
    row = releases.get(house.state, release.id)
    assert (row.name, row.status, row.goal_value, row.run_id) == ("late@1", "candidate", 0.71, "run-1")
    assert house.acts() == ["release.build"]


def test_files_cannot_be_written_and_the_private_key_is_the_owners(house):
    release = house.built()
    assert {stat.S_IMODE(each.stat().st_mode) for each in release.path.iterdir()} == {0o444}
    assert stat.S_IMODE((house.places.keys / "signing.key").stat().st_mode) == 0o600
    assert b"signing" not in b"".join(each.read_bytes() for each in release.path.iterdir())


def test_building_the_same_again_is_the_same_release(house):
    artifact = house.artifact(0.5)
    first = house.releases.build(artifact, actor=TRAINER, trained_by=TRAINER)
    assert house.releases.build(artifact, actor="carl", trained_by=TRAINER) == first
    assert house.acts() == ["release.build"]
    assert house.built(0.6).version == 2


def test_building_again_after_the_environment_changed_is_still_the_same_release(house, monkeypatch):
    artifact = house.artifact(0.5)
    first = house.releases.build(artifact, actor=TRAINER, trained_by=TRAINER, model_version=4)
    monkeypatch.setattr(bundle.environment, "lock", lambda estimator, packages=(): "another==1\n")
    assert house.releases.build(artifact, actor=TRAINER, trained_by=TRAINER, model_version=4) == first
    assert house.built(0.6).read("environment.lock") == b"another==1\n"


def test_a_release_takes_the_number_of_its_model_version(house):
    assert house.built(0.5, model_version=4).name == "late@4"
    with pytest.raises(Conflict, match="late@4 is already a release"):
        house.built(0.6, model_version=4)
    assert house.built(0.7).name == "late@5"
    assert house.built(0.7, model="churn").name == "churn@1"
    assert len(list(house.places.releases.iterdir())) == 3


def test_the_card_says_it_in_plain_words(house):
    text = house.built(0.5, note="# not a heading").read("card.md").decode()
    wanted = (
        "# late@1",
        "`flights` at version 12",
        "| roc_auc (goal) | 0.71 | 0.5 |",
        "| log_loss | – | – |",
        "prior (0.2213)",
        "better than the simple rule",
        "millstream rollback late",
        "Trained by ann",
    )
    for said in wanted:
        assert said in text, said


def test_uncommitted_changes_travel_as_a_file(house):
    code = {"commit": "abc", "dirty": "yes", "patch": "--- a\n+++ b\n"}
    release = house.releases.build(house.artifact(0.5), actor=TRAINER, trained_by=TRAINER, code=code)
    assert release.read("code.patch") == b"--- a\n+++ b\n"
    assert release.said.code == {"commit": "abc", "dirty": "yes"}
    assert "with uncommitted changes" in release.read("card.md").decode()


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "run.py", "lib.so", "MLmodel", "weights.pt", "x.yaml"])
def test_formats_that_may_run_code_never_get_in(house, name):
    with pytest.raises(Refused, match="may run code"):
        house.built(more={name: "cos\nsystem\n"})
    assert not house.places.releases.exists()


@pytest.mark.parametrize("name", ["release.json", "a b.json", ".hidden.json", "x/..y/é.json", "-x.json"])
def test_names_a_release_needs_or_cannot_hold_are_refused(house, name):
    with pytest.raises((BadData, Refused)):
        house.built(more={name: "{}"})


def test_links_and_devices_in_an_artifact_are_refused(house, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    linked = house.artifact(0.5)
    (linked / "x.json").symlink_to(secret)
    piped = house.artifact(0.5)
    os.mkfifo(piped / "x.json")
    for each in (linked, piped):
        with pytest.raises(BadData, match=r"x\.json .* not a plain file"):
            house.releases.build(each, actor=TRAINER, trained_by=TRAINER)


@pytest.mark.parametrize("name", bundle.REQUIRED)
def test_an_artifact_that_lacks_a_file_is_refused_by_name(house, name):
    artifact = house.artifact(0.5)
    (artifact / name).unlink()
    with pytest.raises(BadData, match=f"lacks {name}"):
        house.releases.build(artifact, actor=TRAINER, trained_by=TRAINER)


def test_an_artifact_that_is_not_there_or_says_nothing(house, tmp_path):
    with pytest.raises(BadData, match="not a folder"):
        house.releases.build(tmp_path / "nowhere", actor=TRAINER, trained_by=TRAINER)
    with pytest.raises(UserError, match="builder"):
        house.releases.build(house.artifact(0.5), actor="  ", trained_by=TRAINER)
    with pytest.raises(UserError, match="model's name"):
        house.releases.build(write_artifact(tmp_path / "a", model=""), actor=TRAINER, trained_by=TRAINER)


def test_everything_is_synced_before_it_has_a_name_and_named_before_a_row_says_so(tmp_path, monkeypatch):
    house, done = House(tmp_path / "mill"), []
    sync, rename = os.fsync, Path.rename

    def noted(fd):
        done.append(("sync", Path(f"/proc/self/fd/{fd}").readlink()))
        sync(fd)

    def renamed(self, target):
        done.append(("rename", Path(target)))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(releases, "add", lambda tx, row, *, root: done.append(("row", Path(row.path))))
    release = house.built()
    named = done.index(("rename", release.path))
    synced = {path.name for act, path in done[:named] if act == "sync" and path.parent.parent == house.places.releases}
    assert synced == {each.name for each in release.path.iterdir()}
    assert any(act == "sync" and path.name.startswith(".building-") for act, path in done[:named])
    assert done[named + 1] == ("sync", house.places.releases)
    assert done[-1] == ("row", release.path)
    house.close()


def test_a_full_disk_names_nothing(house, monkeypatch):
    house.built()
    before = set(house.places.releases.iterdir())
    real, left = os.fsync, [3]

    def full(fd):
        left[0] -= 1
        if not left[0]:
            raise OSError(28, "No space left on device")
        real(fd)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match="No space left"):
        house.built(0.9)
    assert set(house.places.releases.iterdir()) == before
    assert [each.version for each in house.releases.history("late")] == [1]
    assert house.built(0.9).version == 2


def test_what_stopped_builds_left_is_swept_but_not_what_others_are_building(house):
    root = house.places.releases
    for name, age in (("old", 7200), ("new", 5)):
        folder = root / f".building-{name}"
        folder.mkdir(parents=True)
        then = folder.stat().st_mtime - age
        os.utime(folder, (then, then))
    house.built()
    assert {each.name for each in root.glob(".building-*")} == {".building-new"}


def test_a_moved_project_finds_its_releases(tmp_path):
    house = House(tmp_path / "mill")
    release = house.live()
    house.close()
    (tmp_path / "mill").rename(tmp_path / "elsewhere")
    moved = House(tmp_path / "elsewhere")
    assert moved.releases.open(release.id).path.parent == moved.places.releases
    assert all(each.ok for each in moved.releases.verify())
    moved.close()
