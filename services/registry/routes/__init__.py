"""HTTP: one module a noun of the API. Routes check scopes, open transactions and render JSON; they decide nothing."""
