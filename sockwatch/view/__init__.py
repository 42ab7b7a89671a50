"""What is seen and judged, in words: for the screens, the command line and the lab."""
