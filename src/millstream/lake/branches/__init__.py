"""Changes beside production: rows edited in an overlay, and put upon what production became."""
