"""Files made to hurt whoever opens them, and a worker process to open them in."""
