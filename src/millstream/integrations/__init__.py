"""Bridges to other systems: one file or folder each, loaded by name, imported by nobody, not knowing each other.

Object stores are the first.
"""
