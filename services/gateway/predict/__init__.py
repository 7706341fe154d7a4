"""Predictions: rate limit, cold start, choice of an instance, and load reports for the autoscaler."""
