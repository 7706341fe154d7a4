"""Handwritten digits: training in three stages, and the function that recognizes one."""
