"""The demo: real pictures go through the whole service on this machine, and every outcome is checked."""
