"""The lab: real servers in a sandbox of their own that rehearse every conflict of bind()."""
