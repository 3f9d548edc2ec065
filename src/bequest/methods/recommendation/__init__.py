"""Which items to show to whom, from what people did."""
