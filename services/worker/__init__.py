"""Worker: runs tasks on one host. It claims them, runs their containers or processes, and reports their outcome.

It calls the scheduler, the databox and the registry over HTTP. It never accesses the database, and never decides what
runs.
"""
