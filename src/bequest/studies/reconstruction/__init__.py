"""Studies of images recovered from measurements."""
