"""The worker pool, one for the deployment, and the Ray task that processes images."""
