"""The container formats: a reader for each header, and for some formats a way to cut out metadata."""
