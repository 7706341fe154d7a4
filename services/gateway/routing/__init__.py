"""Where a request goes: the meaning of a path, the route table and its updates from the scheduler, CORS origins."""
