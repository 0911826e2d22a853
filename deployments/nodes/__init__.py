"""The programs of a cluster of several nodes."""
