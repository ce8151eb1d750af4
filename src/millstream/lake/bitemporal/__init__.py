"""When it happened and when it was known: beliefs, tables as of an instant, and how late facts are."""
