"""The webhook sender: one process for the deployment."""
