"""The wings: one folder for each process, and the image work."""
