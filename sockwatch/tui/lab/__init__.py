"""The lab behind its screen: the thread that owns the stage, and what is known of it."""
