"""How anything is executed: one Run for every method."""

from bequest.run.budget import Budget
from bequest.run.checkpoint import load_state, save_state
from bequest.run.result import Result
from bequest.run.run import Run

__all__ = ["Budget", "Result", "Run", "load_state", "save_state"]
