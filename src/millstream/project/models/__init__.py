"""Learn, decide and ship: from training and its proofs to a signed release that a person let live."""
