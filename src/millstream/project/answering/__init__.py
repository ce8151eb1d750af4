"""Answer: what is served, what was answered, in batch and in lists, and how one answer came about."""
