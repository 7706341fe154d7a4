"""The scheduler's HTTP side: bodies in, functions of the service called, answers out. No decision is made here."""
