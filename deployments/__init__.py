"""The roof: every way in, and every way to run Darkroom."""
