"""Image work: bytes of an image in, bytes of smaller ones out. It imports neither Ray nor a store."""
