"""The operator's command line: what it is asked, and how it shows the answers."""
