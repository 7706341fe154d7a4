"""Runs: creation, queries, commands, chains, schedules, logs, outputs and retention.

Workers and their tasks are in `workers` and `tasks`; this package starts and ends runs, and never executes a stage.
"""
