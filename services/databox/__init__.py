"""Boxes, their files and quotas, presigned links, and logs stored as files.

Owns the store's keys and the `databox_` tables. Knows no runs or components, starts nothing, and does not authorise
callers: the gateway authenticates them and passes the user in the path.
"""
