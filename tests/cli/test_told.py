"""What a disk or a folder says reaches people as a sentence and an exit code."""

import errno
import json

import pytest

from millstream.cli.call import told


@pytest.mark.parametrize(
    ("wrong", "code", "title"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 9, "StorageFull"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), 2, "UserError"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x/y"), 2, "UserError"),
    ],
)
def test_what_a_disk_says_is_told(capsys, wrong, code, title):
    with pytest.raises(SystemExit) as ended, told(as_json=True):
        raise wrong
    said = capsys.readouterr()
    assert ended.value.code == code and json.loads(said.out)["title"] == title
    assert "/x/y" in said.err and wrong.strerror in said.err
