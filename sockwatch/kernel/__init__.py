"""The only code that asks Linux anything."""
