"""Bridges to other systems: one file or folder each, loaded by name, imported by nobody, not knowing each other.

None is built yet.
"""
