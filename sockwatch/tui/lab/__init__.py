"""The lab behind its screen: the thread that owns the sandbox, and what is known of it."""
