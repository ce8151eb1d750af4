import os
import random
import shutil
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import IntegrityError, MillstreamError, Refused
from millstream.releases import keys, open_release
from millstream.releases.verify import is_safe_name
from tests.releases.made import House

FLIPS = 800


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    house = House(tmp_path_factory.mktemp("verify") / "mill")
    release = house.built(more={"model.txt": "tree\n" * 400})
    yield house, release
    house.close()


@pytest.fixture
def copy(whole, tmp_path):
    """Return a copy of a whole bundle that a test may break, and its keys."""
    house, release = whole
    path = tmp_path / release.id
    shutil.copytree(release.path, path)
    for each in path.iterdir():
        each.chmod(0o644)
    return path, house.places.keys


def test_a_whole_bundle_opens(copy):
    path, trusted = copy
    release = open_release(path, trusted)
    assert (release.id, release.name) == (path.name, "late@1")
    assert release.load("baseline.json")["value"] == 0.2213


def test_every_bit_counts(copy):
    """Flip bits sampled over every file, each file at least 40 times; every flip is found, and named."""
    path, trusted = copy
    draw = random.Random(7)
    files = sorted(path.iterdir())
    for number in range(max(FLIPS, 40 * len(files))):
        file = files[number % len(files)]
        content = file.read_bytes()
        place, bit = draw.randrange(len(content)), draw.randrange(8)
        broken = bytearray(content)
        broken[place] ^= 1 << bit
        file.write_bytes(broken)
        with pytest.raises(IntegrityError) as raised:
            open_release(path, trusted)
        # a flip in release.json shows as a signature that does not fit it
        assert file.name in raised.value.happened or file.name == "release.json", raised.value
        file.write_bytes(content)
    open_release(path, trusted)


def test_every_bit_of_the_signature_counts(copy):
    path, trusted = copy
    file = path / "signature"
    content = file.read_bytes()
    for place in random.Random(3).sample(range(len(content) * 8), 250):
        broken = bytearray(content)
        broken[place // 8] ^= 1 << (place % 8)
        file.write_bytes(broken)
        with pytest.raises(IntegrityError, match="signature"):
            open_release(path, trusted)


def test_a_missing_file_is_named(copy):
    path, trusted = copy
    for each in sorted(path.iterdir()):
        content = each.read_bytes()
        each.unlink()
        with pytest.raises(IntegrityError, match=each.name):
            open_release(path, trusted)
        each.write_bytes(content)
    open_release(path, trusted)


@pytest.mark.parametrize("name", ["extra.json", ".hidden", "sub/dir/file.py", "signature.bak", "model.txt~"])
def test_an_extra_file_is_named(copy, name):
    path, trusted = copy
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_text("x")
    with pytest.raises(IntegrityError, match=name):
        open_release(path, trusted)


def test_cut_grown_and_swapped_files_are_named(copy):
    path, trusted = copy
    for each in sorted(path.iterdir()):
        content = each.read_bytes()
        for broken in (b"", content[:-1], content + b"\n"):
            each.write_bytes(broken)
            with pytest.raises(IntegrityError):
                open_release(path, trusted)
        each.write_bytes(content)
    one, other = path / "plan.json", path / "baseline.json"
    texts = one.read_bytes(), other.read_bytes()
    one.write_bytes(texts[1])
    other.write_bytes(texts[0])
    with pytest.raises(IntegrityError, match=r"baseline\.json"):
        open_release(path, trusted)


def _link(path: Path) -> None:
    (path / "plan.json").rename(path.parent / "away.json")
    (path / "plan.json").symlink_to(path.parent / "away.json")


def _absolute_link(path: Path) -> None:
    (path / "passwords.json").symlink_to("/etc/passwd")


def _linked_folder(path: Path) -> None:
    (path / "more").symlink_to(path.parent, target_is_directory=True)


def _pipe(path: Path) -> None:
    (path / "plan.json").unlink()
    os.mkfifo(path / "plan.json")


def _folder_for_a_file(path: Path) -> None:
    (path / "plan.json").unlink()
    (path / "plan.json").mkdir()


def _empty_folder(path: Path) -> None:
    (path / "more").mkdir()


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path / "more.zip", "w") as file:
        file.writestr("../../evil.py", "x")


def _code(path: Path) -> None:
    (path / "sitecustomize.py").write_text("open('canary', 'w')")


@pytest.mark.parametrize(
    "evil",
    [_link, _absolute_link, _linked_folder, _pipe, _folder_for_a_file, _empty_folder, _archive, _code],
    ids=lambda each: each.__name__.strip("_"),
)
def test_evil_bundles_never_open(copy, evil):
    path, trusted = copy
    evil(path)
    with pytest.raises(IntegrityError):
        open_release(path, trusted)


def test_a_linked_bundle_and_no_bundle_never_open(copy, tmp_path):
    path, trusted = copy
    (tmp_path / "link").symlink_to(path)
    for each in (tmp_path / "link", tmp_path / "nowhere", path / "plan.json"):
        with pytest.raises(IntegrityError, match="not a folder"):
            open_release(each, trusted)


BAD_NAMES = ["../x.json", "/etc/passwd", "a/../b.json", "..", "a\\b.json", "a//b.json", "", "x\0.json", "a/./b", "~/x"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_signed_manifest_still_cannot_name_paths_outside(copy, name):
    """Somebody with a trusted key is not trusted with paths."""
    path, trusted = copy
    said = msgspec.json.decode((path / "release.json").read_bytes())
    said["files"][name] = said["files"]["plan.json"]
    _resign(path, trusted, msgspec.json.encode(said))
    with pytest.raises(IntegrityError, match="not a path a release may hold"):
        open_release(path, trusted, expected=None if path.name == "x" else _id(path))


@pytest.mark.parametrize(
    "change",
    [{"schema": 2}, {"files": []}, {"files": {"plan.json": {"sha256": "0"}}}, {"version": "1"}, {"surprise": 1}],
    ids=str,
)
def test_a_signed_manifest_of_another_shape_never_opens(copy, change):
    path, trusted = copy
    said = msgspec.json.decode((path / "release.json").read_bytes()) | change
    _resign(path, trusted, msgspec.json.encode(said))
    with pytest.raises(IntegrityError, match=r"release\.json"):
        open_release(path, trusted, expected=_id(path))


def test_a_bundle_in_the_place_of_another_never_opens(house):
    one, other = house.built(0.1), house.built(0.9)
    shutil.rmtree(one.path)
    shutil.copytree(other.path, one.path)
    with pytest.raises(IntegrityError, match=f"belongs to release {other.id[:12]}, not {one.id[:12]}"):
        house.releases.open(one.id)


def test_wrong_and_revoked_keys_never_open(house, tmp_path):
    release = house.built()
    stranger = House(tmp_path / "stranger")
    theirs = stranger.built(0.9)
    with pytest.raises(IntegrityError, match="not known here"):
        open_release(theirs.path, house.places.keys)
    keys.revoke(house.places.keys, release.key, reason="the laptop was lost")
    with pytest.raises(IntegrityError, match="revoked"):
        house.releases.open(release.id)
    again = house.built(0.7)
    assert again.key != release.key
    assert house.releases.open(again.id) == again
    stranger.close()


def test_a_public_key_under_another_name_and_a_spoilt_list_are_not_trusted(house):
    release, folder = house.built(), house.places.keys
    public = folder / "public" / f"{release.key}.pub"
    other = public.with_name("00" * 8 + ".pub")
    other.write_bytes(public.read_bytes())
    signature = release.path / "signature"
    signature.chmod(0o644)
    kept = signature.read_bytes()
    signature.write_bytes(kept.replace(release.key.encode(), b"00" * 8))
    with pytest.raises(IntegrityError, match="another key than its name says"):
        open_release(release.path, folder)
    signature.write_bytes(kept)
    (folder / "revoked").write_bytes(b"\xff\xfe what")
    with pytest.raises(IntegrityError, match="no signature can be trusted"):
        open_release(release.path, folder)


def test_a_private_key_others_can_read_signs_nothing(house):
    house.built()
    (house.places.keys / "signing.key").chmod(0o644)
    with pytest.raises(Refused, match="can be read by others"):
        house.built(0.9)


def test_reading_checks_again(house):
    release = house.built()
    (release.path / "plan.json").chmod(0o644)
    (release.path / "plan.json").write_bytes(b" " * release.said.files["plan.json"].size)
    with pytest.raises(IntegrityError, match=r"plan\.json"):
        release.read("plan.json")
    with pytest.raises(IntegrityError, match="not part of the release"):
        release.read("../../state.db")


@given(st.text(max_size=20) | st.from_regex(r"[./\\a~-]{1,12}", fullmatch=True))
def test_a_safe_name_stays_inside(name):
    if is_safe_name(name):
        inside = Path("/r") / name
        assert Path(os.path.normpath(inside)) == inside and inside.is_relative_to("/r") and name


def test_verify_names_what_does_not_hold(house):
    good, bad = house.live(0.1), house.built(0.9)
    (bad.path / "model.json").chmod(0o644)
    (bad.path / "model.json").write_text("{}")
    (house.places.releases / ("0" * 64)).mkdir()
    found = {each.subject: each for each in house.releases.verify()}
    assert found[good.name].ok and not found[bad.name].ok and "model.json" in found[bad.name].says
    assert found["release 000000000000"].ok and "without a row" in found["release 000000000000"].says


def _resign(path: Path, trusted: Path, manifest: bytes) -> None:
    (path / "release.json").write_bytes(manifest)
    (path / "signature").write_bytes(keys.sign(trusted, manifest))


def _id(path: Path) -> str:
    import hashlib

    return hashlib.sha256((path / "release.json").read_bytes()).hexdigest()


def test_every_failure_is_one_of_ours(copy):
    """Whatever lies in the folder, opening it raises an error of Millstream's and nothing else."""
    path, trusted = copy
    draw = random.Random(11)
    for _ in range(60):
        file = draw.choice(sorted(each for each in path.iterdir() if each.is_file()))
        kept = file.read_bytes()
        file.write_bytes(draw.randbytes(draw.randrange(1, 200)))
        with pytest.raises(MillstreamError):
            open_release(path, trusted)
        file.write_bytes(kept)
