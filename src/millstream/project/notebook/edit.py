"""The smallest edit of a definition file that makes it say something else, by the places of its words."""

from __future__ import annotations

import ast

from millstream.definitions.manifest import Manifest
from millstream.definitions.view import FeatureView
from millstream.project.notebook import source
from millstream.project.notebook.source import Names, Unwritten

_FACTORIES = {"Table": "tables", "FeatureView": "views", "Model": "models"}


def edited(text: str, now: Manifest, wanted: Manifest, name: str) -> str | None:
    """Return a file's text with a model and its views as wanted; None when the file does not define the model.

    Parameters
    ----------
    text
        The file.
    now
        What the files say today.
    wanted
        What they are to say.
    name
        The model.

    Raises
    ------
    Unwritten
        When something has no words in this file.
    """
    file = _File(text)
    call = file.calls.get(("Model", name))
    if call is None:
        return None
    model = wanted.model(name)
    for role in {each.view: each for each in wanted.roles(model)}.values():
        view = wanted.view(role.view)
        if role.view not in now.views:
            file.insert_view(view.name, source.call("FeatureView", view.name, source.of_view(view, file.names)), call)
        elif now.view(role.view) != view:
            there = file.calls.get(("FeatureView", view.name))
            if there is None:
                raise Unwritten(f"the feature view {view.name!r} is defined in another file")
            _change_view(file, there, now.view(role.view), view)
    before = now.models.get(name)
    if before is None:
        raise Unwritten("the definition files did not load as the file stands")
    old, new = source.of_model(before), source.of_model(model)
    for word in [each for each in new if old[each] != new[each]]:
        said = source.written(getattr(model, word), file.names, word=word)
        if word == "estimator":
            for path in dict.fromkeys(source.imports(model.estimator)):
                file.need(path)
            same = model.estimator.path == before.estimator.path
            ours, theirs = (source.parameters(each.estimator) for each in (before, model))
            file.put(call, word, said, merged=(ours, theirs) if same else None)
        elif word == "features":
            more = source.more_roles(before.features, model.features, file.names)
            file.put(call, word, said, more=more)
        else:
            file.put(call, word, said)
    return file.done()


def _change_view(file: _File, call: ast.Call, before: FeatureView, view: FeatureView) -> None:
    """Let the call of a view say what the view now is."""
    old, new = (source.of_view(each, file.names) for each in (before, view))
    if set(old) - set(new):
        raise Unwritten(f"the words {', '.join(sorted(set(old) - set(new)))} of {view.name!r} would have to go")
    for word in [each for each in new if old.get(each) != new[each]]:
        both = tuple(
            {name: source.written(said, file.names) for name, said in each.features.items()} for each in (before, view)
        )
        file.put(call, word, new[word], merged=(both[0], both[1]) if word == "features" else None)


class _File:
    """A file's text, the calls in it, what it calls things, and the edits so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self.calls: dict[tuple[str, str], ast.Call] = {}
        self._edits: list[tuple[int, int, str]] = []
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line.encode("utf-8")))
        self._imported = self._imports()
        shelves: dict[str, dict[str, str]] = {"tables": {}, "views": {}, "models": {}}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (said := self._named(node)) is not None:
                self.calls[said] = node
        for statement in self.tree.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
                said = self._named(statement.value)
                if said is not None and isinstance(statement.targets[0], ast.Name):
                    shelves[_FACTORIES[said[0]]][said[1]] = statement.targets[0].id
        self._views = shelves["views"]
        self.names = Names(shelves["tables"], self._views, self._imported)

    def put(
        self, call: ast.Call, word: str, said: str, *, more: list[str] | None = None,
        merged: tuple[dict[str, str], dict[str, str]] | None = None,
    ) -> None:  # fmt: skip
        """Let a word of a call say something else, or add it at the call's end.

        Parameters
        ----------
        call, word, said
            What is to say what.
        more
            Items to add to a list that stands there; everything in it stays.
        merged
            Named values as they are and as they are to be, where only some of them change.
        """
        there = next((each.value for each in call.keywords if each.arg == word), None)
        if there is None:
            self._append(self._last(call), call, [f"{word}={said}"])
        elif more and isinstance(there, ast.List) and there.elts:
            self._append(there.elts[-1], there, more)
        elif merged is None or not self._merge(there, *merged):
            self._edits.append((*self._span(there), said))

    def _merge(self, node: ast.expr, old: dict[str, str], new: dict[str, str]) -> bool:
        """Change the named values of a call or dict that differ; say whether that was possible."""
        if isinstance(node, ast.Call) and not node.args and all(each.arg for each in node.keywords):
            values = {str(each.arg): each.value for each in node.keywords}
            glue = "{}={}"
        elif isinstance(node, ast.Dict) and all(isinstance(each, ast.Constant) for each in node.keys):
            values = {str(each.value): value for each, value in zip(node.keys, node.values, strict=True)}  # type: ignore[union-attr]
            glue = '"{}": {}'
        else:
            return False
        if (
            not values
            or set(old) - set(new)
            or [each for each in new if each in values] != [each for each in values if each in new]
        ):
            return False
        for name, said in new.items():
            if name in values and old.get(name) != said:
                self._edits.append((*self._span(values[name]), said))
        added = [glue.format(name, said) for name, said in new.items() if name not in values]
        if added:
            self._append(list(values.values())[-1], node, added)
        return True

    def insert_view(self, name: str, said: str, before: ast.Call) -> None:
        """Define a new view before the statement a call stands in."""
        if not name.isidentifier() or name in {each.id for each in ast.walk(self.tree) if isinstance(each, ast.Name)}:
            raise Unwritten(f"the feature view {name!r} needs a variable of another name")
        statement = next(each for each in self.tree.body if each.lineno <= before.lineno <= (each.end_lineno or 0))
        place = self._starts[statement.lineno - 1]
        self._views[name] = name
        self._edits.append(
            (place, place, f"{name} = {said.replace('FeatureView', self.names.word('FeatureView'), 1)}\n\n")
        )

    def need(self, path: str) -> None:
        """Import an estimator's class where the file does not have it."""
        module, _, name = path.partition(":")
        kind = name.partition(".")[0]
        if kind in self._imported:
            if self._imported[kind] != kind:
                raise Unwritten(f"the file calls {kind} {self._imported[kind]}")
            return
        public = module.partition(".")[0] if module.startswith("lightgbm") else _public(module)
        imports = [each for each in self.tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
        line = (imports[-1].end_lineno or 0) if imports else 0
        self._edits.append((self._starts[line], self._starts[line], f"from {public} import {kind}\n"))

    def done(self) -> str:
        """Return the text with every edit made."""
        body = self.text.encode("utf-8")
        placed = sorted(enumerate(self._edits), key=lambda each: (each[1][0], each[0]), reverse=True)
        for _, (start, end, said) in placed:  # of what goes to one place, what came first stands first
            body = body[:start] + said.encode("utf-8") + body[end:]
        return body.decode("utf-8")

    def _append(self, last: ast.expr, inside: ast.expr, items: list[str]) -> None:
        """Add items after the last one, on lines of their own where that one has its own."""
        own = last.lineno != inside.lineno
        lead = last.col_offset
        if own:
            line = self.text.splitlines()[last.lineno - 1]
            lead = len(line) - len(line.lstrip())
        glue = f",\n{' ' * lead}" if own else ", "
        end = self._span(last)[1]
        self._edits.append((end, end, "".join(f"{glue}{each}" for each in items)))

    def _last(self, call: ast.Call) -> ast.expr:
        return max([*call.args, *(each.value for each in call.keywords)], key=lambda each: self._span(each)[1])

    def _span(self, node: ast.expr) -> tuple[int, int]:
        end = self._starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        return self._starts[node.lineno - 1] + node.col_offset, end

    def _named(self, call: ast.Call) -> tuple[str, str] | None:
        """Return which definition a call makes: its kind and its name."""
        kind = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        words: dict[str, str] = {said: word for word, said in self._imported.items()}
        kind = words.get(kind, kind)
        first = call.args[0] if call.args else next((each.value for each in call.keywords if each.arg == "name"), None)
        if kind not in _FACTORIES or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            return None
        return kind, first.value

    def _imports(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in ast.walk(self.tree):
            if isinstance(each, ast.ImportFrom):
                found |= {name.name: name.asname or name.name for name in each.names}
            elif isinstance(each, ast.Import):
                for name in each.names:
                    if name.name == "millstream":
                        found |= _Prefixed(f"{name.asname or name.name}.")
        return found


def _Prefixed(prefix: str) -> dict[str, str]:  # noqa: N802 - reads as what it makes
    words = (
        "Each",
        "Every",
        "FeatureView",
        "Model",
        "Table",
        "features",
        "loop",
        "monitors",
        "splits",
        "tasks",
        "traffic",
    )
    return {word: prefix + word for word in words}


def _public(module: str) -> str:
    """Return the module people import from: without parts that begin with an underscore."""
    parts = module.split(".")
    hidden = next((place for place, each in enumerate(parts) if each.startswith("_")), len(parts))
    return ".".join(parts[:hidden])
