"""Methods that decide: policies for environments that are known only by samples."""
