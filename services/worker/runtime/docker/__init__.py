"""The runtime on a Docker Engine: containers, their networks and images. They outlive the worker."""
