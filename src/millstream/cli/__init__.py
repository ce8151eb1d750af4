"""The command line: every command calls the same function as the notebook, and prints its record."""
