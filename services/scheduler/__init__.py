"""Scheduler: runs, stages, component instances, rollouts, leases and the routing table, as rows with state machines.

Owns the decision what should run. Never touches Docker or files, and never tells a worker to start
something: workers claim.
"""
