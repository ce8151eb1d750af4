"""The control plane: page, API and loop in one process, workers for user code, and the supervisor of them all."""
