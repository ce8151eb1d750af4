import re
from pathlib import Path

import mlflow

PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"


def test_the_examples_of_the_page_run_in_their_order(own, monkeypatch):
    """As in a notebook whose folder is the project's: a cell a block, one namespace."""
    monkeypatch.chdir(own.root)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {"__name__": "__main__"}
    try:
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
        assert names["run"].version == 4
        assert "num_leaves=4" in (own.root / "flights.py").read_text()
    finally:
        names["p"].close()
        mlflow.autolog(disable=True, silent=True)
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
