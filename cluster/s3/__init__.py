"""S3, which holds the images."""
