"""Names that are safe to write down: in Python, in SQL, as features."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping

from millstream.errors import ExpressionError
from millstream.expressions import parse
from millstream.types import DType

LONGEST = 60
"""Letters of a name made up here; a file is called after it."""
TAKEN = {
    "f",
    "checks",
    "features",
    "loop",
    "sources",
    "splits",
    "tasks",
    "traffic",
    "monitors",
    "Each",
    "Table",
    "Model",
    "FeatureView",
    "LGBMClassifier",
    "LGBMRegressor",
    "LogisticRegression",
    "Ridge",
    "at_request",
}
_UMLAUTS = (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"), ("Ä", "ae"), ("Ö", "oe"), ("Ü", "ue"))
_RESERVED = {"decided_at", "label", "label_known_at"}
"""Columns that training adds to the rows."""
_SQL = {
    "order",
    "group",
    "select",
    "table",
    "from",
    "where",
    "join",
    "union",
    "values",
    "user",
    "all",
    "case",
    "check",
    "column",
    "default",
    "end",
    "in",
    "is",
    "like",
    "limit",
    "not",
    "null",
    "on",
    "or",
    "and",
    "as",
    "using",
    "when",
    "with",
    "desc",
    "asc",
    "into",
    "to",
    "then",
    "true",
    "false",
}


def plain(text: str, *, fallback: str) -> str:
    """Write a name in ASCII letters, digits and _.

    >>> plain("Größe (cm)", fallback="x"), plain("2nd try", fallback="x"), plain("価格", fallback="column_3")
    ('groesse_cm', 'x_2nd_try', 'column_3')
    """
    for letter, written in _UMLAUTS:
        text = text.replace(letter, written)
    ascii_ = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    made = re.sub(r"_+", "_", re.sub(r"[^0-9A-Za-z_]", "_", ascii_)).strip("_").lower()
    if not made:
        return fallback
    made = made[:LONGEST].rstrip("_")
    return f"x_{made}" if made[0].isdigit() else made


def apart(name: str, taken: Iterable[str]) -> str:
    """Return the name, with a number behind it where it is taken (case does not count)."""
    used = {each.lower() for each in taken}
    number, made = 2, name
    while made.lower() in used:
        made, number = f"{name}_{number}", number + 1
    return made


def of_table(stem: str, taken: Iterable[str]) -> str:
    """Name a table, and the variable that holds it, after its file."""
    name = plain(stem, fallback="rows")
    if keyword.iskeyword(name) or hasattr(builtins, name) or name in TAKEN or name in _SQL:
        name = f"{name}_table"
    return apart(name, taken)


def renamed(columns: Iterable[str]) -> dict[str, str]:
    """Say which columns need another name, and which: those that SQL or a feature store could not hold.

    >>> renamed(["age", "Total (EUR)", "TOTAL_EUR", "label"])
    {'Total (EUR)': 'total_eur_2', 'label': 'label_'}
    """
    names = list(columns)
    kept = [each for each in names if _good(each)]
    lower = [each.lower() for each in kept]
    kept = [each for place, each in enumerate(kept) if each.lower() not in lower[:place]]
    made: dict[str, str] = {}
    for place, name in enumerate(names):
        if name in kept:
            continue
        wanted = f"{name}_" if name in _RESERVED else plain(name, fallback=f"column_{place + 1}")
        made[name] = apart(wanted, [*kept, *made.values(), *_RESERVED])
    return made


def _good(name: str) -> bool:
    return re.fullmatch(r"[^\W\d]\w*", name) is not None and name not in _RESERVED and not name.startswith("__")


def sql(name: str, schema: Mapping[str, DType]) -> str:
    """Write a column in an expression, in double quotes where it needs them."""
    if re.fullmatch(r"[A-Za-z_]\w*", name) and name.lower() not in _SQL:
        try:
            if parse(name, {name: schema[name]}, where="a name").columns == (name,):
                return name
        except ExpressionError:
            pass
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Write a text in an expression."""
    return "'" + value.replace("'", "''") + "'"
