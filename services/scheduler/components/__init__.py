"""Components: desired instances, rollouts, autoscaling and the route table, reconciled for one app at a time.

Instances are tasks that workers claim like stages; this package creates and stops them, and never contacts one.
"""
