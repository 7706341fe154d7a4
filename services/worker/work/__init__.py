"""The work of a lease, from its start to its outcome: a stage, an instance, or an asynchronous prediction.

Decides nothing about leases: `lease_runner` starts, stops and reports.
"""
