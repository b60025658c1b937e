"""What tasks print, from the pipe to where it is kept and back."""
