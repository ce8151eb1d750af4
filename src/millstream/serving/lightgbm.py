"""LightGBM's C library, opened through ctypes: the Python package is found but never imported.

Importing ``lightgbm`` pulls numpy and scipy and triples the memory of a scoring process; its C interface needs
neither. One row costs about 14 µs, against 40 µs through ``Booster.predict``.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from millstream.errors import IntegrityError, Unavailable

_FLOAT64 = 1
_NORMAL = 0
_ROW_MAJOR = 1
_ALL_TREES = -1
_PARAMETERS = b"num_threads=1 verbosity=-1 predict_disable_shape_check=false"
_HANDLE = ctypes.c_void_p
_LIBRARIES = ("lib_lightgbm.so", "lib_lightgbm.dylib")


class Booster:
    """A LightGBM model, as text, ready to predict; not safe to share between threads.

    Parameters
    ----------
    text
        The model as LightGBM's text format.
    width
        Number of features expected, checked against the model.
    outputs
        Numbers a row expected, one a class; checked as well.

    Raises
    ------
    IntegrityError
        When the text is not a LightGBM model with that many features and outputs.
    Unavailable
        When LightGBM's library is not installed.
    """

    def __init__(self, text: bytes, *, width: int, outputs: int = 1) -> None:
        self.width, self.outputs = width, outputs
        self._closed = True
        self._handle = _HANDLE()
        self._fast = _HANDLE()
        many, one = _library()
        rounds = ctypes.c_int(0)
        _check(many.LGBM_BoosterLoadModelFromString(text, ctypes.byref(rounds), ctypes.byref(self._handle)))
        self._closed = False
        try:
            self._refuse_wrong_shape(many)
            _check(
                many.LGBM_BoosterPredictForMatSingleRowFastInit(
                    self._handle, _NORMAL, 0, _ALL_TREES, _FLOAT64, width, _PARAMETERS, ctypes.byref(self._fast)
                )
            )
        except BaseException:
            self.close()
            raise
        self._values = (ctypes.c_double * outputs)()
        self._length = ctypes.c_int64()
        self._references = (ctypes.byref(self._length), ctypes.byref(self._values))
        self._call = one.LGBM_BoosterPredictForMatSingleRowFast
        self._many = many

    def _refuse_wrong_shape(self, library: ctypes.CDLL) -> None:
        features, outputs = ctypes.c_int(0), ctypes.c_int(0)
        _check(library.LGBM_BoosterGetNumFeature(self._handle, ctypes.byref(features)))
        _check(library.LGBM_BoosterGetNumClasses(self._handle, ctypes.byref(outputs)))
        if features.value != self.width or outputs.value != self.outputs:
            raise IntegrityError(
                f"the LightGBM model has {features.value} features and {outputs.value} outputs",
                expected=f"{self.width} features, as model.json names them, and {self.outputs} outputs",
                do="rebuild the release from its run",
            )

    def predict_one(self, features: array[float]) -> float | tuple[float, ...]:
        """Predict one row; a binary objective gives the probability of true, one of classes that of each."""
        address, length = features.buffer_info()
        if length != self.width:
            raise _wrong_width(length, self.width)
        if self._call(self._fast, address, *self._references):
            _check(-1)
        return self._values[0] if self.outputs == 1 else tuple(self._values)

    def predict_many(self, features: array[float], rows: int) -> Sequence[float | tuple[float, ...]]:
        """Predict rows that lie one after another in ``features``; other threads run meanwhile."""
        if len(features) != rows * self.width:
            raise _wrong_width(len(features), rows * self.width)
        if not rows:
            return []
        matrix = (ctypes.c_double * len(features)).from_buffer(features)
        values = (ctypes.c_double * (rows * self.outputs))()
        length = ctypes.c_int64()
        _check(
            self._many.LGBM_BoosterPredictForMat(
                self._handle, matrix, _FLOAT64, rows, self.width, _ROW_MAJOR, _NORMAL, 0, _ALL_TREES,
                _PARAMETERS, ctypes.byref(length), values,
            )
        )  # fmt: skip
        if self.outputs == 1:
            return list(values)
        return [tuple(values[at : at + self.outputs]) for at in range(0, len(values), self.outputs)]

    def close(self) -> None:
        """Free the model; it cannot predict afterwards."""
        if self._closed:
            return
        self._closed = True
        many, _ = _library()
        if self._fast:
            many.LGBM_FastConfigFree(self._fast)
        many.LGBM_BoosterFree(self._handle)

    def __del__(self) -> None:
        self.close()


_loading = threading.Lock()


def _library() -> tuple[ctypes.CDLL, ctypes.PyDLL]:
    with _loading:
        return _open_library()


@cache
def _open_library() -> tuple[ctypes.CDLL, ctypes.PyDLL]:
    """Open the library twice: once giving the interpreter lock away, once keeping it for the 14 µs of one row."""
    path = _find()
    try:
        many, one = ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))
    except OSError as wrong:
        raise Unavailable(
            f"LightGBM's library could not be opened: {wrong}",
            expected=f"{path} and what it links to",
            do="apt-get install libgomp1",
        ) from None
    many.LGBM_GetLastError.restype = ctypes.c_char_p
    many.LGBM_SetMaxThreads(1)
    many.LGBM_BoosterFree.argtypes = many.LGBM_FastConfigFree.argtypes = [_HANDLE]
    many.LGBM_BoosterLoadModelFromString.argtypes = [ctypes.c_char_p, _HANDLE, _HANDLE]
    for counted in (many.LGBM_BoosterGetNumFeature, many.LGBM_BoosterGetNumClasses):
        counted.argtypes = [_HANDLE, _HANDLE]
    many.LGBM_BoosterPredictForMatSingleRowFastInit.argtypes = [
        _HANDLE, *[ctypes.c_int] * 4, ctypes.c_int32, ctypes.c_char_p, _HANDLE,
    ]  # fmt: skip
    many.LGBM_BoosterPredictForMat.argtypes = [
        _HANDLE, _HANDLE, ctypes.c_int, ctypes.c_int32, ctypes.c_int32, *[ctypes.c_int] * 4, ctypes.c_char_p,
        _HANDLE, _HANDLE,
    ]  # fmt: skip
    one.LGBM_BoosterPredictForMatSingleRowFast.argtypes = [_HANDLE, _HANDLE, _HANDLE, _HANDLE]
    _silence(many)
    return many, one


def _find() -> Path:
    found = importlib.util.find_spec("lightgbm")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for name in _LIBRARIES:
            for path in (Path(folder) / "lib" / name, Path(folder) / name):
                if path.exists():
                    return path
    raise Unavailable(
        "this release is a LightGBM model and LightGBM is not installed",
        expected="the package lightgbm (its library; nothing else of it is used)",
        do="pip install --no-deps lightgbm",
    )


_Callback = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_quiet = _Callback(lambda _message: None)


def _silence(library: ctypes.CDLL) -> None:
    library.LGBM_RegisterLogCallback(_quiet)


def _wrong_width(given: int, wanted: int) -> IntegrityError:
    return IntegrityError(f"the model was given {given} numbers", expected=f"{wanted}: every feature of every row")


def _check(code: int) -> None:
    if code:
        said = _library()[0].LGBM_GetLastError()
        raise IntegrityError(
            f"LightGBM refused: {said.decode(errors='replace')}", do="rebuild the release from its run"
        )
