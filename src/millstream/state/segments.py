"""Placeholder: owned by a later file."""

SCHEMA = ""
