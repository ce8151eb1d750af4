"""Readers of other tools' suites: each turns a file into checks, without importing the tool."""
