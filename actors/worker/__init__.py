"""The worker pool, one for the deployment, and the Ray task that does the images of a batch."""
