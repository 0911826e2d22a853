"""The process of the queue manager, one for the deployment."""
