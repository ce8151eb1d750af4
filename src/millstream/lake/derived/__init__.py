"""Tables made from tables: by SQL, by a step, whole or in partitions, and where each column comes from."""
