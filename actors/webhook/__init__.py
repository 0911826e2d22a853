"""The process of the webhook sender, one for the deployment."""
