"""Network namespaces: which there are, whose they are, and looks into them."""
