"""Values of the scheduler, frozen copies of rows. This package reads and writes nothing.

An instance is a task of kind `instance`: a worker claims it as it claims a stage (`task.Task`).
"""
