"""The composition root: it loads a project and holds its rooms. It does no arithmetic of its own.

``Project`` opens rooms on first use. What can be done with a project stands in one room per part of the road:
``tables`` (read and trust), ``branches``, ``catalog``, ``models`` (learn, decide, ship), ``answering``, ``parity``,
``housekeeping`` and ``backups``, and ``watch`` and ``prove``; each is a function of the project that returns one
record, and ``root.COMMANDS`` names them for the command line, the API and the workers. ``notebook`` is for a person.
"""

from millstream.project.root import Project, open

__all__ = ["Project", "open"]
