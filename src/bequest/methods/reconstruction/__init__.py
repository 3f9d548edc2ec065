"""Methods that recover images from measurements."""
