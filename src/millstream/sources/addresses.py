"""Addresses of databases: found by name, filled with environment variables, and never shown with a password."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from millstream.errors import DefinitionError, UserError, near

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def address(database: str, databases: Mapping[str, str], *, where: str) -> str:
    """Find the address of a database by its name; without a name the only one there is.

    Raises
    ------
    DefinitionError
        When ``millstream.toml`` has none of that name, or several and none was named.
    """
    if database in databases:
        return databases[database]
    if not database and len(databases) == 1:
        return next(iter(databases.values()))
    named = f"no address of a database {database!r}" if database else f"{len(databases) or 'no'} addresses of databases"
    raise DefinitionError(
        f"millstream.toml has {named}, which {where} comes from",
        expected="[databases] with " + f'{database or "shop"} = "postgresql://user:${{SHOP_PASSWORD}}@host/database"',
        do=near(database, databases) if databases else "",
    )


def filled(text: str, *, where: str) -> str:
    """Fill environment variables in.

    Raises
    ------
    UserError
        When one is not set.
    """
    return _VARIABLE.sub(lambda found: _variable(found.group(1), where=where), text)


def whole(text: str) -> bool:
    """Say whether an address is nothing but one environment variable."""
    return _VARIABLE.fullmatch(text.strip()) is not None


def _variable(name: str, *, where: str) -> str:
    found = os.environ.get(name)
    if found is None:
        raise UserError(
            f"the address of the database of {where} needs the environment variable {name}, which is not set",
            do=f"export {name}=... and try again",
        )
    return found
