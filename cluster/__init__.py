"""What every process of Darkroom shares: settings, records, errors, the stores, guarded HTTP and the command line."""

__version__ = "0.1.0"
