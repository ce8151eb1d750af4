"""Tables and their versions: attach, ingest, derive, read pinned, recover."""
