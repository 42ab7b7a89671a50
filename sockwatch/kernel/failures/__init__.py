"""The bind() and listen() calls of this host that fail."""
