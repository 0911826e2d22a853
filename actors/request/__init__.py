"""The coordinators: one process for each running request."""
