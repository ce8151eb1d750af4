"""Tables fit to the terminal: words stay whole, dates stay whole, and what finds no room stands below its row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

_SOFT = re.compile(r"(?<=[_/.:;=|,\-])(?=[^\W\d])")
"""Where a word may break that has no room as a whole: behind a sign, before a letter; so no figure and no date."""
_LEAST = 12
"""Letters a column keeps when its words must break anywhere; narrower, a table is written row by row."""
_LONG = 40
"""Letters of a word that stays whole; longer ones are hashes and paths, which break."""
_PROSE = 20
"""From this width on a column of several words may stand below its row."""


def lines(heads: Sequence[str], rows: Sequence[Sequence[Text | None]], right: frozenset[int], width: int) -> list[Text]:
    """Lay out a table as lines no longer than a width.

    When it does not fit as it is, its words move to further lines. When its longest words do not fit either, columns
    in which nothing stands are left out, and said; then columns of prose stand below their rows; then words break,
    behind a sign where they have one; and at last every row is written as a list of its columns.

    Parameters
    ----------
    heads
        Names of the columns.
    rows
        Cells; None is nothing.
    right
        Numbers of the columns that are set to the right.
    width
        Cells of the terminal.
    """
    grid = _Grid(heads, rows, right, width)
    shown, below = list(range(len(heads))), list[int]()
    if not grid.fits(shown, grid.whole):
        shown = [each for each in shown if any(row[each] is not None for row in rows)] or shown
    while not grid.fits(shown, grid.whole) and (prose := grid.prose(shown)) is not None:
        shown.remove(prose)
        below.insert(0, prose)
    if not grid.fits(shown, grid.whole) and below:  # putting prose away did not do: its words may as well stay
        shown, below = sorted([*shown, *below]), []
    for least in (grid.whole, grid.soft, grid.hard):
        if grid.fits(shown, least):
            return [*grid.drawn(shown, sorted(below), least), *grid.left_out(shown, below)]
    return grid.listed()


class _Grid:
    """What a table would take, and how it looks."""

    def __init__(
        self, heads: Sequence[str], rows: Sequence[Sequence[Text | None]], right: frozenset[int], width: int
    ) -> None:
        self.heads, self.rows, self.right, self.width = heads, rows, right, width
        texts = [
            [head, *(said.plain for row in rows if (said := row[number]) is not None)]
            for number, head in enumerate(heads)
        ]
        self.natural = [_most(line for text in each for line in text.splitlines()) for each in texts]
        self.whole = [
            max(
                _most(texts[number][0].split()), _most(line for text in texts[number][1:] for line in text.splitlines())
            )
            if number in right
            else min(_most(word for text in texts[number] for word in text.split()), _LONG)
            for number in range(len(heads))
        ]
        self.soft = [
            _most(part for text in each for word in text.split() for part in _SOFT.split(word)) for each in texts
        ]
        self.hard = [min(each, _LEAST) for each in self.soft]

    def room(self, shown: Sequence[int]) -> int:
        """Return the cells left for words, with two between two columns and one before the first."""
        return self.width - 1 - 2 * (len(shown) - 1)

    def fits(self, shown: Sequence[int], least: Sequence[int]) -> bool:
        """Tell whether columns of some least widths find room beside each other."""
        return sum(least[each] for each in shown) <= self.room(shown)

    def prose(self, shown: Sequence[int]) -> int | None:
        """Return the broadest column of several words that is not the first, when more than two would stay."""
        found = [
            each
            for each in shown[1:]
            if each not in self.right and self.natural[each] >= max(_PROSE, self.whole[each] + 1)
        ]
        return max(found, key=lambda each: self.natural[each]) if found and len(shown) > 3 else None

    def widths(self, shown: Sequence[int], least: Sequence[int]) -> dict[int, int]:
        """Share the room: all get their least, then those that lack little all they lack, the others a part of it."""
        given = {each: least[each] for each in shown}
        spare = self.room(shown) - sum(given.values())
        lacks = {each: max(0, self.natural[each] - least[each]) for each in shown}
        for lack in sorted(set(lacks.values())):
            alike = [each for each in lacks if lacks[each] == lack]
            if lack * len(alike) > spare:
                break
            for each in alike:
                given[each] += lacks.pop(each)
                spare -= lack
        wants = sum(lacks.values())
        for each, lack in sorted(lacks.items(), key=lambda each: each[1]):
            part = lack * spare // wants
            given[each] += part
            spare, wants = spare - part, wants - lack
        return given

    def drawn(self, shown: Sequence[int], below: Sequence[int], least: Sequence[int]) -> Iterator[Text]:
        """Write the head, a rule and the rows, each with its prose below."""
        widths = self.widths(shown, least)
        apart = 3 if sum(widths.values()) + 3 * (len(shown) - 1) + 2 <= self.width else 2
        heads = {each: Text(self.heads[each], style="dim") for each in shown}
        yield Text("")
        yield from self._row(heads, shown, widths, apart)
        yield Text(" " + "─" * (sum(widths.values()) + apart * (len(shown) - 1)))
        for row in self.rows:
            yield from self._row({each: row[each] for each in shown}, shown, widths, apart)
            for each in below:
                if (said := row[each]) is not None:
                    for line in wrapped(Text.assemble((f"{self.heads[each]}: ", "dim"), said), self.width - 4):
                        yield Text("    ") + line
        yield Text("")

    def left_out(self, shown: Sequence[int], below: Sequence[int]) -> list[Text]:
        """Name the columns that are not shown, as nothing stands in them."""
        names = [name for number, name in enumerate(self.heads) if number not in shown and number not in below]
        said = f"nothing stands under {', '.join(names)}"
        return wrapped(Text(said, style="dim"), self.width) if names and self.rows else []

    def listed(self) -> list[Text]:
        """Write every row as a list of its columns."""
        broad = max(cell_len(each) for each in self.heads)
        narrow = min(broad, self.width // 2)
        found = [Text("")]
        for row in self.rows:
            for name, said in zip(self.heads, row, strict=True):
                head = wrapped(Text(name, style="dim"), narrow)
                cell = wrapped(said if said is not None else _nothing(), max(1, self.width - narrow - 3))
                for place in range(max(len(head), len(cell))):
                    left = head[place] if place < len(head) else Text("")
                    line = Text(" ") + left + " " * (narrow - left.cell_len + 2)
                    found.append(line + cell[place] if place < len(cell) else line)
            found.append(Text(""))
        return found

    def _row(
        self, cells: Mapping[int, Text | None], shown: Sequence[int], widths: Mapping[int, int], apart: int
    ) -> Iterator[Text]:
        parts = {
            each: wrapped(said if (said := cells[each]) is not None else _nothing(), widths[each]) for each in shown
        }
        for place in range(max(len(each) for each in parts.values())):
            line = Text(" ")
            for number, each in enumerate(shown):
                said = parts[each][place] if place < len(parts[each]) else Text("")
                gap = " " * (widths[each] - said.cell_len)
                line.append_text(Text(" " * apart if number else ""))
                line.append_text(Text(gap) + said if each in self.right else said + gap)
            line.rstrip()
            yield line


def _nothing() -> Text:
    return Text("·", style="dim")


def _most(words: Iterable[str]) -> int:
    return max((cell_len(each) for each in words), default=0) or 1


def wrapped(said: Text, width: int, *, whole: bool = False) -> list[Text]:
    """Break a text into lines of a width: between words, else behind a sign, else anywhere.

    Parameters
    ----------
    said
        The text; its own line breaks stay.
    width
        Cells of a line.
    whole
        Leave a word that is longer than a line as it is, so that it can be copied.
    """
    cuts, start, at = [], 0, 0
    for piece in _pieces(said.plain, width, whole=whole):
        end = at + len(piece)
        if at > start and (said.plain[at - 1] == "\n" or cell_len(said.plain[start:end].rstrip()) > width):
            cuts.append(at)
            start = at
        at = end
    found = said.divide(cuts) if cuts else [said.copy()]
    for each in found:
        each.rstrip()
    return list(found)


def _pieces(plain: str, width: int, *, whole: bool) -> Iterator[str]:
    """Take a text apart where it may break, each piece with the space behind it."""
    for word in re.findall(r"\n|[^\S\n]*\S+[^\S\n]*\n?|[^\S\n]+\n?", plain):
        if whole or cell_len(word.rstrip()) <= width:
            yield word
            continue
        for piece in _SOFT.split(word):
            while cell_len(piece.rstrip()) > width:
                cut = max(
                    number for number in range(1, len(piece) + 1) if cell_len(piece[:number]) <= width or number == 1
                )
                yield piece[:cut]
                piece = piece[cut:]
            if piece:
                yield piece
