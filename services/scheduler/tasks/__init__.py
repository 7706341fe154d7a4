"""Tasks: the state machine, and what writes its transitions, dispatches ready tasks and expires leases.

Locks are taken in one order: the run, then its tasks by id.
"""
