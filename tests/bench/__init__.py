"""Benchmarks; `make bench` runs them. Compare figures of one run only: machines differ, and so do their neighbours."""
