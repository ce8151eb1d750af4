"""Releases of a Python model that behaves as the hour of the request says, and the code that travels with them."""

import json
import pickle

from millstream.training.own_code import OwnCode

CODE = {
    "mood/__init__.py": "",
    "mood/model.py": """
import os
import threading

import numpy as np

from mood.hours import CRASH, HANG, RAISE


class Moody:
    def __init__(self, share):
        self.share = share

    def predict(self, matrix):
        hours = matrix[:, 2]
        if (hours == RAISE).any():
            raise ValueError("an hour I do not like")
        if (hours == CRASH).any():
            os._exit(3)
        if (hours == HANG).any():
            threading.Event().wait()
        return self.share + hours / 1000 + np.nan_to_num(matrix[:, 0]) / 1e6

    def predict_proba(self, matrix):
        return np.column_stack([1 - self.predict(matrix), self.predict(matrix)])
""",
    "mood/hours.py": "RAISE, CRASH, HANG = 1, 2, 3\n",
}
DEADLINE_MS = 2000
MANIFEST = {"tables": {}, "views": {}, "models": {"late": {"traffic": {"deadline_ms": DEADLINE_MS}}}}


def said(**changes):
    return {
        "kind": "python", "file": "model.pickle", "format": "pickle", "method": "predict",
        "estimator": "mood.model:Moody", "column": None, "fill": None, "alone": False,
        "code": [f"code/{name}" for name in CODE], "packages": ["numpy"],
    } | changes  # fmt: skip


def files(share=0.5, **more):
    """The files of a moody model beside ``model.json``."""
    with OwnCode(CODE):
        from mood.model import Moody

        made = {"model.pickle": pickle.dumps(Moody(share)), "manifest.json": json.dumps(MANIFEST)}
    return made | {f"code/{name}": text for name, text in CODE.items()} | more


def at_hour(row, hour):
    """A request whose departure is at an hour of New York, in winter."""
    return row | {"scheduled_departure": f"2013-02-01T{hour + 5:02d}:00:00Z"}
