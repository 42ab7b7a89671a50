"""The lab: real servers on a stage of their own that rehearse every conflict of bind()."""
