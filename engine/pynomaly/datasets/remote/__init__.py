"""Sources that are served from elsewhere: databases by ADBC, objects of S3."""
