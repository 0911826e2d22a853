"""The Ray actors and tasks: queue manager, coordinator, webhook, and the image work."""
