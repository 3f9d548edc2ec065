"""Figures of merit that the libraries lack, or have only off the device."""
