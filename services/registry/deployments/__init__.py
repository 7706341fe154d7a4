"""The deployment's state machine: values, the decision about a push, the worker, transitions in the database, what the
forge is told."""
