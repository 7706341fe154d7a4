"""The library of all services: errors, settings, messages, message bus, database, HTTP, manifests.

Never imports a service and never decides anything about apps, runs or files.
"""
