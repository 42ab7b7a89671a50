"""What /proc and a duplicate of an fd tell: processes, holders, units and flags."""
