"""Few large files and none that nothing names: compaction, what may go, and what holds it."""
