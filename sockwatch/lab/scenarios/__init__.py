"""One scenario a file: SCENARIO. Whatever is here is listed and run."""
