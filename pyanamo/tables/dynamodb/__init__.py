"""A workflow step in a DynamoDB table."""
