"""Values of the data are written as they are, whatever they look like to a terminal."""

from millstream.cli import render


def test_values_are_no_markup(capsys):
    record = {"columns": ["[red]c", "d"], "rows": [["[redacted]", "[/] x"], [None, "[bold]"]], "count": 2}
    render.sql({**record, "out": None, "pins": {"t": 0}})
    said = capsys.readouterr().out
    assert all(each in said for each in ("[red]c", "[redacted]", "[/] x", "[bold]", "·"))
