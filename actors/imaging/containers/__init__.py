"""The containers: for each format its header, and for some the same file without metadata."""
