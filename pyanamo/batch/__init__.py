"""AWS Batch: what it tells of jobs, and pilots as jobs of it."""
