"""The composition root: it loads a project and holds its rooms. It does no arithmetic of its own.

``Project`` opens rooms on first use. What can be done with a project stands in one file per part of the road:
``data`` (read and trust), ``learn``, ``ship``, ``answer``, ``watch`` and ``prove``; each is a function of the
project that returns one record, and ``COMMANDS`` names them for the command line, the API and the workers.
"""

from millstream.project.root import Project, open

__all__ = ["Project", "open"]
