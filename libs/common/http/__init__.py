"""HTTP between services and to callers: the `client`, what every `service` has, and the `server` that runs it.

Knows nothing of apps or runs. The gateway's data path has a client of its own, because there every microsecond counts.
"""
