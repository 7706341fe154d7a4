"""Files of tasks: inputs, outputs, models, sources and logs, moved between this host and the other services.

Starts no container: that is the runtime's job.
"""
