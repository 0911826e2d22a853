"""The ground: code that several processes share."""

__version__ = "0.1.0"
