"""The README of a project that was written from data."""

from __future__ import annotations

from millstream.cli.starting.choose import Choice
from millstream.cli.starting.guess import TableGuess
from millstream.cli.starting.target import Target
from millstream.cli.starting.write import Recipe


def readme(guess: TableGuess, goal: Target, choice: Choice, recipe: Recipe, *, sample: str) -> str:
    """Write how this project is used: from training to an answer, and what to look at first."""
    leaks = [each for each in choice.left_out if each.why.startswith("LEAK?")]
    look = [
        f"`{recipe.name}.py` holds every guess with what it saw beside it. Look first at:",
        "",
        f"- the label `{goal.expression}`: is that what you want to know?",
    ]
    if guess.event_time is not None:
        look.append(f"- when the label is known: taken as {recipe.delay} after `{guess.event_time}` (`known_at`);")
        look.append("  said too early, the past would know the future and every figure would be too good")
    look += [f"- `{each.column}` was left out as a possible leak: {each.why[6:]}" for each in leaks[:10]]
    if guess.numbered:
        look.append(f"- `{guess.key[0]}` numbers the rows of the file; for a new row send a number of your own")
    commands = "\n".join(
        f"{words:<{len(recipe.name) + 24}}# {why}"
        for words, why in (
            ("millstream check", "run the contracts on what arrived"),
            (f"millstream train {recipe.name}", "train beside the baseline, get the verdict"),
            (f"millstream release {recipe.name}", "sign, rehearse the rollback, ask for approval"),
            ("millstream approve -m 'why'", "by somebody else: MILLSTREAM_USER says who acts"),
            ("millstream up", "page, API, loop and scoring server"),
        )
    )
    body = sample.replace("'", "'\\''")
    return f"""# {recipe.name}

Predicts `{goal.expression}` ({goal.task}) for each row of `{guess.name}`. Written by `millstream init --from`.

```
{commands}
```

The page is at http://127.0.0.1:8310. Ask for a prediction with the columns a caller knows (here the last row):

```
curl http://127.0.0.1:8311/v1/models/{recipe.name}/predict -d '{{"rows": [{body}]}}'
```

## What to look at

{chr(10).join(look)}

New rows: change or add to the data where it lies, then `millstream refresh`. Each state is kept as a version, and
every model knows the versions it was made of.
"""
