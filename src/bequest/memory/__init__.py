"""Replay: banks of samples on the device, priorities, pools of synthetic images."""
