"""Files of tasks: inputs, outputs, models, sources and logs on their way between this host and the other services.

Knows no container: what runs is the runtime's.
"""
