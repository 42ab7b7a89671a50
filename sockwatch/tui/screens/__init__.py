"""The screens, but for those of the lab."""
