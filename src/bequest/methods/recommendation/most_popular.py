"""Most popular: the lower control of recommendation, the same list for everybody.

Items by how often they occur in the training sequences. Nothing is learnt about the user; only
`exclude_seen` lets lists differ.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.methods.base import NonNegative, method
from bequest.nn.recommenders import Popularity, Recommender
from bequest.ops.sequences import Sequences, check_sequences
from bequest.run import Result, Run


@method
class MostPopular:
    """The most frequent items."""

    exclude_seen: bool = False
    """Whether `recommend` leaves out items of the history."""
    diversity: NonNegative = 0.0
    """How many occurrences a pair of different categories is worth in `recommend`."""

    def fit(
        self,
        sequences: Sequences,
        *,
        num_items: int,
        run: Run,
        validation: Sequences | None = None,
    ) -> Result:
        """Counts.

        Args:
            sequences: What each training user did; ids from 1.
            num_items: Ids are 1 .. num_items.
            run: How to execute.
            validation: Not used: there is nothing to choose.

        Raises:
            InputError: For no sequences or unknown ids.
        """
        check_sequences(sequences, num_items=num_items, shortest=1)
        network = Popularity(torch.zeros(num_items + 1))
        for _ in run.steps(1, name="counting", state={"network": network}):
            network.counts += torch.bincount(sequences.items, minlength=num_items + 1)
            run.log(events=float(len(sequences.items)))
        return run.result(run.place(network), {})

    def recommend(
        self,
        network: Recommender,
        histories: Sequences,
        *,
        number: int = 50,
        categories: Tensor | None = None,
    ) -> Tensor:
        """Ids `(users, number)` with this method's options; see `Recommender.recommend`."""
        return network.recommend(
            histories,
            number=number,
            exclude_seen=self.exclude_seen,
            diversity=self.diversity,
            categories=categories,
        )
