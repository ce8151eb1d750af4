"""Branches: what is changed beside production, how it differs, and its way into it."""
