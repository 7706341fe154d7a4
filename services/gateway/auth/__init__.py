"""Authentication of callers: passwords, API keys, owners' tokens, and protection against CSRF.

Reads the route table and asks the registry about tokens. Never forwards a request.
"""
