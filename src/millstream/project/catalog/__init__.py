"""The catalog: what each table means, where it comes from, and who read it."""
