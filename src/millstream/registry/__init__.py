"""Model versions: which training is version 3 of a model, and the folder that holds all of it.

MLflow numbers the versions, so that its clients see the same ones; the folder under ``models/<name>/<version>`` is
what a release is built from. A folder appears whole or not at all.
"""

from millstream.registry.proof import missing, verify
from millstream.registry.versions import ModelVersion, artifact_path, latest, register, version, versions

__all__ = ["ModelVersion", "artifact_path", "latest", "missing", "register", "verify", "version", "versions"]
