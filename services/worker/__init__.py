"""Worker: one host's containers and scratch space. Claims tasks, runs them, reports how they ended.

Speaks to the scheduler, the databox and the registry over HTTP. Never sees the database, and decides nothing about
what should run.
"""
