"""S3: the images."""
