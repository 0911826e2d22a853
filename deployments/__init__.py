"""The HTTP face of Darkroom, served by Ray Serve."""
