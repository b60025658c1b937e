"""AWS Batch: its jobs, and pilots as jobs."""
