"""Files made to harm the process that opens them, and a worker process to open them in."""
