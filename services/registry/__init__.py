"""Owns apps, repositories, revisions, deployments, secrets, tokens and webhooks: what Git says and who may say it.

Never runs a container, never opens a box, and never routes a caller: the scheduler reads what is validated here.
"""
