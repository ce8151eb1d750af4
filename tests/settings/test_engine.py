"""The memory of the embedded engine is what millstream.toml says."""

import pytest

from millstream import settings
from millstream.features import PolarsEngine
from millstream.project import Project


@pytest.mark.parametrize(("said", "bytes_"), [("", 512 * 10**6), ("[engine]\nmemory = '1.5GB'", 1_500_000_000)])
def test_the_project_computes_features_in_the_memory_it_is_told(tmp_path, said, bytes_):
    (tmp_path / settings.FILE).write_text(said)
    assert Project(tmp_path).engine == PolarsEngine(bytes_) and (PolarsEngine() == PolarsEngine(bytes_)) == (not said)
