"""Everything that talks to Git: client, cache, remotes, polling. Never decides about a push."""
