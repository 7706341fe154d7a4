"""HTTP handlers: parse the request, call a function of the service, build the response. They decide nothing."""
