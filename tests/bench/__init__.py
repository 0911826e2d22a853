"""Benchmarks, run by `make bench`. Compare figures of one run only: machines and their neighbours differ."""
