"""Guarded HTTP. Every fetch and every webhook connects through one guard."""
