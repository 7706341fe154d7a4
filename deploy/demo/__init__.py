"""A small real module from push to prediction, on this machine: `make demo`.

Owns the story and what it prints. Uses the mesh as an outsider does: the command, Git, and HTTP.
"""
