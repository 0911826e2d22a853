"""The processes of the coordinators, one for each running request."""
