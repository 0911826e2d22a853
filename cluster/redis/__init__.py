"""Redis: what is fast to read and may vanish at any moment."""
