"""What methods of compression are made of; each part is usable alone."""
