"""A folder for PYTHONPATH, with a decoder that has faults."""
