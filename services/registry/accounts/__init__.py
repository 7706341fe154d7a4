"""People: accounts, their roles in apps, sessions, personal tokens, and one-time links."""
