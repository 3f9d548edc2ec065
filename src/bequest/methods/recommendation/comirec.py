"""ComiRec: several vectors a user, and one knob between accuracy and variety.

Yukuo Cen, Jianwei Zhang, Xu Zou, Chang Zhou, Hongxia Yang, Jie Tang, "Controllable Multi-Interest
Framework for Recommendation", KDD 2020. A user's last events become K vectors, by self-attention
(`sa`) or by dynamic routing (`dr`). Training takes the vector that agrees best with the next item
and pulls it there by a sampled softmax. To serve, every vector retrieves items by inner product;
the lists are merged, and a greedy choice trades score for pairs of different categories.

In go sequences of item ids, oldest first, ids from 1 (`bequest.ops.sequences.Sequences`); out comes
a network with `recommend`. The paper's baselines are the same training with other extractors:
`mean` (YouTube DNN: Covington, Adams, Sargin, RecSys 2016), `gru` (GRU4Rec: Hidasi, Karatzoglou,
Baltrunas, Tikk, ICLR 2016) and `mind` (MIND: Li et al., CIKM 2019).

With item embeddings E, history H, vectors V, target t, negatives N and inclusion probability q:

    V = softmax(W2 tanh(W1 (H + P)))^T H          (sa)    V = route(H)          (dr)
    v = V[argmax_k V_k . e_t]
    L = -log( exp(v . e_t - log q_t) / sum over {t} and N of exp(v . e_j - log q_j) )
    choose argmax_i  max_k V_k . e_i - diversity * (chosen of i's category)

Differs: padding takes no part in the softmax; in the authors' code it is item 0, the most frequent.
Differs: frequency is counted here, so ids need not be sorted by it.
Differs: negatives without repetition come from an exponential race in place of repeated draws; the
distribution is the same, and the probabilities are those given where the race ended.
Differs: with `exclude_seen` (off here, on in the study, where no event occurs twice) items of the
history are not recommended again.
Differs: `mind` in eval mode routes from logits that are the same at each call; in the authors' code
one user gets other items at each call.
Differs: `gru` and `mean` are user encoders under this loss, as in the paper, not GRU4Rec's own
session-parallel training.
Trap: routing's softmax is over interests, not over events; padding is zeroed after it.
Trap: `dr` has a map for each place, counted from the oldest event in the window, so `max_length`
is part of the network.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.losses.sampled_softmax import sampled_softmax
from bequest.methods.base import Count, NonNegative, Positive, method
from bequest.metrics.ranking import ranking_figures
from bequest.nn.best_weights import BestWeights
from bequest.nn.recommenders import InterestNetwork, Recommender
from bequest.ops.candidate_sampling import by_frequency, draw_distinct
from bequest.ops.sequences import Sequences, check_sequences, history_and_future
from bequest.run import Result, Run
from bequest.run.update import update

_CUTOFF = 50


@method
class ComiRec:
    """Controllable multi-interest recommendation."""

    extractor: Literal["sa", "dr", "mind", "mean", "gru"] = "sa"
    """How a history becomes vectors; the last three are baselines, the last two make one vector."""
    interests: Count = 4
    """K, vectors a user."""
    dim: Count = 64
    """d, values of an item and of a vector."""
    max_length: Count = 20
    """n, the last events that are looked at; 20 for Amazon Books, 50 for Taobao."""
    positions: bool = True
    """Whether `sa` adds an embedding of the place before it weighs events."""
    relu: bool = False
    """Whether `mind` ends in a linear layer with ReLU, as the authors have it for Amazon Books."""
    negatives: Count = 10
    """Negatives for each user of a batch; the whole batch shares them all."""
    log_uniform: bool = True
    """Whether frequent items are drawn more often, by their rank; otherwise all alike."""
    log_q_correction: bool = True
    """Whether logits are less log q, so that the loss estimates the softmax over all items."""
    min_history: Count = 4
    """Events before a target at least, where the sequence is long enough for that."""
    steps: Count = 1_000_000
    """Steps at most; `patience` ends training earlier."""
    batch_size: Count = 128
    """Users a step; 128 for Amazon Books, 256 for Taobao."""
    learning_rate: Positive = 1e-3
    """Of Adam; the authors take 0.005 for `dr`."""
    evaluate_every: Count = 1000
    """Steps between two looks at the validation users."""
    patience: Count = 50
    """Looks without a better recall of 50 items after which training ends."""
    diversity: NonNegative = 0.0
    """lambda of eq. 10 in `recommend`: the score that a pair of different categories is worth."""
    exclude_seen: bool = False
    """Whether validation and `recommend` leave out items of the history."""

    def fit(
        self,
        sequences: Sequences,
        *,
        num_items: int,
        run: Run,
        validation: Sequences | None = None,
    ) -> Result:
        """Trains on users, chooses the weights by other users.

        Args:
            sequences: What each training user did; two events each at least.
            num_items: Ids are 1 .. num_items.
            run: How to execute.
            validation: Users whose first 80 % of events should foretell the others; None trains
                for all steps and keeps the last weights.

        Returns:
            An `InterestNetwork` with the weights of the best validation recall, in eval mode.

        Raises:
            InputError: For no sequences, one with fewer than two events, ids out of range, a
                single item, or `interests` that the extractor cannot have.
        """
        if num_items < 2:
            raise InputError(f"num_items is {num_items}; ranking needs at least 2 items.")
        check_sequences(sequences, num_items=num_items, shortest=2)
        if validation is not None:
            check_sequences(validation, num_items=num_items, shortest=2, name="validation")
            validation = validation.to(run.device)
        sequences = sequences.to(run.device)
        network = run.place(
            InterestNetwork(
                num_items,
                dim=self.dim,
                interests=self.interests,
                length=self.max_length,
                extractor=self.extractor,
                positions=self.positions,
                relu=self.relu,
            )
        ).train()
        assert isinstance(network, InterestNetwork)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate, fused=True)
        counts = torch.bincount(sequences.items, minlength=num_items + 1)[1:]
        frequency = by_frequency(counts) if self.log_uniform else torch.ones_like(counts).float()
        best = BestWeights(network)
        state = {"network": network, "optimizer": optimizer, "best": best}

        for step in run.steps(self.steps, state=state):
            histories, targets = self._examples(sequences, run)
            loss = self._loss(network, histories, targets, frequency, run)
            update(run, loss, optimizer, network)
            run.log(loss=loss)
            if validation is not None and (step + 1) % self.evaluate_every == 0:
                self._validate(network, validation, best, run)

        best.restore()
        figures = {} if best.value < 0 else {"validation_recall_50": best.value}
        return run.result(network.eval(), figures)

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

    def _examples(self, sequences: Sequences, run: Run) -> tuple[Tensor, Tensor]:
        """Histories `(batch, max_length)` and targets `(batch,)`: any user, any place."""
        rng, shape = run.stream("examples"), (self.batch_size,)
        users = torch.randint(len(sequences), shape, generator=rng, device=run.device)
        lengths = sequences.lengths[users]
        first = (lengths - 1).clamp(max=self.min_history)
        share = torch.rand(shape, generator=rng, device=run.device, dtype=torch.float64)
        places = first + (share * (lengths - first)).long()
        users, places = run.share(users), run.share(places)
        targets = sequences.items[sequences.offsets[users] + places]
        return sequences.windows(users, places, self.max_length), targets

    def _loss(
        self,
        network: InterestNetwork,
        histories: Tensor,
        targets: Tensor,
        frequency: Tensor,
        run: Run,
    ) -> Tensor:
        """The sampled softmax of the vector that agrees best with the target."""
        drawn, q = draw_distinct(
            frequency, self.negatives * self.batch_size, generator=run.stream("negatives")
        )
        negatives, log_q = drawn + 1, q.log()
        if not self.log_q_correction:
            log_q = torch.zeros_like(log_q)
        ids = torch.cat([histories.flatten(), targets, negatives])
        with run.autocast():
            # One look-up, so that the backward pass fills one table of gradients and not three.
            embeddings = network.items(ids)
            events, wanted, others = embeddings.split(
                [histories.numel(), len(targets), len(negatives)]
            )
            events = events.unflatten(0, histories.shape)
            interests = network.interests_of(events, histories != 0)
            return sampled_softmax(
                closest(interests, wanted),
                wanted,
                others,
                same=targets[:, None] == negatives,
                log_q_targets=log_q[targets - 1],
                log_q_negatives=log_q[drawn],
            ).mean()

    def _validate(
        self, network: InterestNetwork, users: Sequences, best: BestWeights, run: Run
    ) -> None:
        """Recall of 50 items, in percent; ends training when it has not risen for long."""
        with run.section("evaluation"):
            recall = validation_recall(network, users, exclude_seen=self.exclude_seen)
        run.record(validation_recall_50=recall)
        best.offer(recall)
        if best.waited >= self.patience:
            run.end_phase()


def closest(interests: Tensor, items: Tensor) -> Tensor:
    """Of each user's vectors the one with the largest inner product with the user's item (eq. 6).

    Args:
        interests: `(batch, interests, dim)`.
        items: `(batch, dim)`.

    Returns:
        `(batch, dim)`.
    """
    which = (interests @ items[:, :, None]).argmax(1, keepdim=True)
    return interests.take_along_dim(which, dim=1)[:, 0]


def validation_recall(network: Recommender, users: Sequences, *, exclude_seen: bool) -> float:
    """Recall of the last 20 % of events among 50 items for the first 80 %, in percent."""
    histories, future = history_and_future(users)
    ranked = network.recommend(histories, number=_CUTOFF, exclude_seen=exclude_seen)
    return ranking_figures(ranked, future.padded(), at=(_CUTOFF,))[f"recall_{_CUTOFF}"]
