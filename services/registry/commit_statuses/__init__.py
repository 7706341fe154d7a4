"""Tells forges what became of each commit: the loop that sends, and with which token."""
