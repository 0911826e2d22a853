"""Redis: data that is fast to read and may vanish at any moment."""
