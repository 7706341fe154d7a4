"""Everything that talks to Git: client, cache, remotes, webhooks, polling. Never decides about a push."""
