"""What every service stands on: errors, settings, messages, the bus, the database, HTTP, manifests.

Never imports a service and never decides anything about apps, runs or files.
"""
