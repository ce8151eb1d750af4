"""Columns of texts that are numbers, written in one of the many ways, and those that only look like it."""

from __future__ import annotations

import re

import msgspec
import polars as pl

from millstream.definitions.sources import Csv
from millstream.sources.texts import MINUS

PLAIN = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
_STYLES = (
    (".", ","),
    (",", "."),
    (".", "'"),
    (".", "’"),
    (",", " "),
    (",", "\u00a0"),
    (",", "\u202f"),
    (".", " "),
    (",", "'"),
)
"""Character before the fraction and between thousands; the first of those that fit equally well is taken."""
_DIGITS = r"^[-+]?\d[\d.,'’ \u00a0\u202f]*([eE][-+]?\d+)?$"
_SIGNS = r"[%$€£¥]"
_SIGNED = rf"^[-+{MINUS}]?\s*[$€£¥]?\s*[-+]?\s*(?:\d|\.\d)[\d.,'’ \u00a0\u202f]*([eE][-+]?\d+)?\s*[%$€£¥]?$"
_EITHER = r"^[-+]?[1-9]\d{0,2},\d{3}$"
"""A thousand and more, or a number with three places behind its comma."""
_NO_VALUE = {
    "-", "--", "---", "–", "—", "?", ".", "..", "...", "*", "na", "n/a", "n.a.", "#n/a", "#na", "nan", "null", "none",
    "nil",
    "unknown", "missing", "not available", "#value!", "#div/0!", "#ref!", "#null!", "k.a.", "keine angabe",
}  # fmt: skip
_ENDLESS = r"(?i)^[-+]?(inf|infinity|nan)$"
_MOSTLY = 0.5


def figures(texts: pl.DataFrame, source: Csv) -> tuple[Csv, tuple[str, ...]]:
    """Find the columns that are numbers; one way of writing fractions and thousands a file.

    Parameters
    ----------
    texts
        Every column as text.
    source
        The source as far as it is known.

    Returns
    -------
    tuple
        The source with what was found, and a sentence for each thing that was not plain.
    """
    says: list[str] = []
    plain = all_like(texts, PLAIN)
    names = [each for each in plain if _names_things(texts[each])]
    for each in names:
        says.append(f"{each!r}: figures with a zero before them, or beyond 64 bits, are names; kept as text")
    source = msgspec.structs.replace(source, texts=tuple(each for each in texts.columns if each in names))
    spaced = {each for each in plain - set(names) if _spaced(texts[each])}
    nulls: dict[str, tuple[str, ...]] = {}
    odd: dict[str, pl.Series] = {}
    for name in texts.columns:
        if name in plain:
            continue
        column = texts[name].drop_nulls().str.strip_chars()
        values, words, said = _without_words(column)
        says += [f"{name!r}: {said}"] if said else []
        if values is not None:
            odd[name] = values
            if words:
                nulls[name] = words
    decimal, thousands, chosen, said_of_style = _style(odd, source.separator)
    says += said_of_style
    if thousands == ".":
        threes = {each for each in plain if _three_digits(texts[each].drop_nulls().str.strip_chars())}
        chosen = {*chosen, *threes} - set(names)
    elif source.separator == ";":
        says += [
            f"{each!r}: a point with three digits behind it is taken for a fraction; if it parts thousands, say so: "
            f"decimal=',', thousands='.', numbers=({each!r},)"
            for each in texts.columns
            if each in plain and _three_digits(texts[each].drop_nulls().str.strip_chars())
        ]
    left = [each for each in odd if each not in chosen]
    for each in left:
        nulls.pop(each, None)
        if _mostly_numbers(odd[each]):
            says.append(
                f"{each!r}: its values look like numbers, such as {odd[each][0]!r}, but not written as elsewhere in "
                "the file, or in no known way; kept as text"
            )
    if spaced and decimal != ".":
        spaced = set()
    ordered = tuple(each for each in texts.columns if each in chosen or each in spaced)
    words_said = [
        f"{name!r}: {', '.join(map(repr, words))} among its numbers is taken as no value"
        for name, words in nulls.items()
    ]
    found = msgspec.structs.replace(source, decimal=decimal, thousands=thousands, numbers=ordered, nulls=nulls)
    return found, (*_said(found, chosen), *_said_of_signs(texts, chosen), *words_said, *says)


def all_like(texts: pl.DataFrame, pattern: str) -> set[str]:
    """Name the columns of which every value has a pattern; a column without values has all patterns."""
    fits = texts.select(pl.all().str.strip_chars().str.contains(pattern).all()).row(0, named=True)
    return {name for name, fit in fits.items() if fit}


def _names_things(column: pl.Series) -> bool:
    """Say whether figures lose something as numbers: zeros before them, or digits beyond 64 bits."""
    values = column.drop_nulls().str.strip_chars()
    if values.is_empty() or not values.str.contains(r"^[-+]?\d+$").all():
        return False
    if (values.str.contains(r"^0\d\d")).any():
        return True
    long = values.filter(values.str.len_bytes() >= 19)
    return bool(long.cast(pl.Int64, strict=False).null_count())


def _spaced(column: pl.Series) -> bool:
    return bool(column.drop_nulls().str.contains(r"^\s|\s$").any())


def _without_words(column: pl.Series) -> tuple[pl.Series | None, tuple[str, ...], str]:
    """Part a column into its numbers and the words among them that mean no value.

    Returns
    -------
    tuple
        The different numbers as text, without a sign that all have, or None for what is no column of numbers; the
        words; and what should be said where most but not all are numbers.
    """
    values = column.unique(maintain_order=True)
    if values.is_empty() or not values.head(200).str.contains(_SIGNED).any():
        return None, (), ""
    fits = values.str.contains(_SIGNED)
    others = values.filter(~fits)
    numbers = values.filter(fits)
    if numbers.is_empty():
        return None, (), ""
    others = others.filter(~others.str.contains(_ENDLESS))
    if others.is_empty() and numbers.len() < values.len() and numbers.str.contains(PLAIN).all():
        return None, (), ""  # Polars reads them, and the door of the row language gives them no value
    if not all(each.lower() in _NO_VALUE for each in others):
        share = float(column.str.contains(_SIGNED).mean() or 0.0)  # type: ignore[arg-type]
        if share <= _MOSTLY or not _mostly_numbers(numbers):
            return None, (), ""
        word = next(each for each in others if each.lower() not in _NO_VALUE)
        return None, (), (
            f"{share:.0%} of its values are numbers, the others are not, such as {word!r}; kept as text. If they mean "
            "no value, say so: nulls={COLUMN: (TEXT, ...)} and numbers=(COLUMN,) in its source"
        )  # fmt: skip
    signs = numbers.str.extract(f"({_SIGNS})").fill_null("")
    if signs.n_unique() > 1 and not (signs.n_unique() == 2 and (signs == "").any() and not (signs == "%").any()):
        if not _mostly_numbers(numbers):
            return None, (), ""
        shown = ", ".join(repr(each) for each in signs.unique().sort() if each) or "'%'"
        return None, (), f"its numbers have different signs or none ({shown}) and cannot be compared; kept as text"
    bare = (
        numbers.str.replace(_SIGNS, "").str.strip_chars().str.replace(f"^{MINUS}", "-").str.replace(r"^([-+])\s+", "$1")
    )
    if not bare.str.contains(_DIGITS).all() and not bare.str.contains(PLAIN).all():
        return None, (), ""
    return bare, tuple(sorted(others.to_list())), ""


def _mostly_numbers(values: pl.Series) -> bool:
    """Say whether texts of digits and marks are numbers rather than versions, addresses, telephones or days."""
    return bool(values.str.contains(r"^[-+]?[$€£¥]?\s*\d{1,3}([.,' ’]\d{2,3})*([.,]\d+)?\s*[%$€£¥]?$").mean() == 1.0)


def _style(odd: dict[str, pl.Series], separator: str) -> tuple[str, str, set[str], list[str]]:
    """Choose how fractions and thousands are written, and which columns are written so."""
    fits = {style: [n for n, column in odd.items() if _fits(column, *style)] for style in _STYLES}
    either = {n for n, column in odd.items() if _either(column)}

    def weight(style: tuple[str, str]) -> tuple[int, bool, int]:
        sure = [each for each in fits[style] if each not in either]
        return len(sure), separator == ";" and style[0] == ",", len(fits[style])

    decimal, thousands = max(_STYLES, key=weight)
    chosen = fits[decimal, thousands]
    if not chosen:
        return ".", "", set(), []
    plain = [each for each in chosen if bool(odd[each].str.contains(PLAIN).all())]
    sure = [each for each in chosen if each not in either and each not in plain]
    if set(chosen) == set(plain):
        return ".", "", set(chosen), []
    says = []
    if not sure:
        why = "its fields are parted by ';'" if separator == ";" else "the file parts its fields by a comma"
        meant = "one and a fraction" if decimal == "," else "thousands"
        other = "decimal='.', thousands=','" if decimal == "," else "decimal=',', thousands='.'"
        says = [
            f"{each!r}: {odd[each].filter(odd[each].str.contains(',', literal=True))[0]!r} can be read in two ways; "
            f"taken for {meant}, because {why}; otherwise say {other}"
            for each in chosen
            if each in either
        ]
    return decimal, thousands, set(chosen), says


def _fits(column: pl.Series, decimal: str, thousands: str) -> bool:
    grouped = rf"[1-9]\d{{0,2}}({re.escape(thousands)}\d{{3}})+"
    pattern = rf"^[-+]?(\d+|{grouped})({re.escape(decimal)}\d+)?([eE][-+]?\d+)?$"
    return bool(column.str.contains(pattern).all())


def _either(column: pl.Series) -> bool:
    """Say whether every comma may stand before a fraction as well as between thousands."""
    with_comma = column.filter(column.str.contains(",", literal=True))
    return bool(not with_comma.is_empty() and with_comma.str.contains(_EITHER).all())


def _three_digits(column: pl.Series) -> bool:
    """Say whether every value with a point has exactly three digits behind it, as thousands have."""
    pointed = column.filter(column.str.contains(".", literal=True))
    return bool(not pointed.is_empty() and pointed.str.contains(r"^[-+]?[1-9]\d{0,2}(\.\d{3})+$").all())


def _said(source: Csv, chosen: set[str]) -> list[str]:
    marks = [f"{source.decimal!r} before the fraction"] if source.decimal != "." else []
    marks += [f"{source.thousands!r} between thousands"] if source.thousands else []
    names = [each for each in source.numbers if each in chosen]
    return [f"numbers with {' and '.join(marks)}: {', '.join(names)}"] if marks and names else []


def _said_of_signs(texts: pl.DataFrame, chosen: set[str]) -> list[str]:
    says = []
    for name in (each for each in texts.columns if each in chosen):
        signs = texts[name].drop_nulls().str.extract(f"({_SIGNS})").drop_nulls()
        if signs.len():
            says.append(f"{name!r}: {signs[0]} is left out, {texts[name].drop_nulls()[0]!r} is a number")
    return says
