"""A run, a claim or a method as a page or a table for people."""
