"""Backup and restore of MongoDB."""
