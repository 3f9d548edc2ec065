"""Recommendation: sequences of real events, users held back, and claims."""
