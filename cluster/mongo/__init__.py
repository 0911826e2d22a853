"""MongoDB: what is true."""
