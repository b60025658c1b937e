"""The pilot: workers that claim items, run their commands and record what happened."""
