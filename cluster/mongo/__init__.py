"""MongoDB: the truth about requests, products, deliveries and keys."""
