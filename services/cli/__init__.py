"""The command line: `mlmesh up`, one command a service, and the client of a mesh's public API.

Owns what a person at a terminal sees: arguments, tables, progress, error messages, exit codes. Never looks behind the
public API of a mesh, and never imports a service: `services.__main__` passes the factories that do.

Modules import heavy libraries inside functions, on purpose: `mlmesh --help` must start fast.
"""
