"""What workers call: claims, heartbeats, reuse queries, reports.

A worker acts on a task only under its current lease.
"""
