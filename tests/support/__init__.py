"""What several test modules share, and `make test` needs."""
