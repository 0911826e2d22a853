"""Guarded HTTP: every fetch and every webhook connects through one guard."""
