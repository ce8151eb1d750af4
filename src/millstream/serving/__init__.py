"""Answering: one release, one scorer, one small server, and a log of every answer that survives the process.

Batch, HTTP and embedded use call the same ``serving.scorer.Scorer``. What the server imports is small on purpose: the
standard library, msgspec, uvicorn, LMDB and LightGBM's C library opened through ctypes.
"""
