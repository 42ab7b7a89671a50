"""Processes, holders, units and flags, read from /proc and from duplicates of fds."""
