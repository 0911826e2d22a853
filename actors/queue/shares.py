"""The shares of the requests at work in the task slots of the cluster: pure arithmetic.

A request has a weight by its priority. Its demand is the number of task slots that it can use now. Task slots are
shared by weighted max-min fairness. No request gets more than it can use. The rest goes to the others by weight.
Source: Bertsekas and Gallager, "Data Networks", 2nd edition, section 6.5.2.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from actors.messages import Share

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROUNDING = 1e-6


class Claim(NamedTuple):
    """The claim of a request."""

    priority: int  # 0 to 9
    demand: float  # task slots that it can use now


def weight(priority: int) -> float:
    """Return the weight of a priority. Each step doubles it."""
    return 2.0**priority


def max_min_shares(claims: Mapping[str, Claim], slots: float) -> dict[str, float]:
    """Return the task slots of each request. They add up to `slots`, or to all demands when these are fewer."""
    result = dict.fromkeys(claims, 0.0)
    hungry = {name: claim for name, claim in claims.items() if claim.demand > 0}
    left = slots
    while hungry and left > 0:
        per_weight = left / sum(weight(claim.priority) for claim in hungry.values())
        fed = {name: claim for name, claim in hungry.items() if claim.demand <= per_weight * weight(claim.priority)}
        if not fed:
            return result | {name: per_weight * weight(claim.priority) for name, claim in hungry.items()}
        for name, claim in fed.items():
            result[name] = claim.demand
            left -= claim.demand
            del hungry[name]
    return result


def divide(claims: Mapping[str, Claim], slots: float) -> dict[str, Share]:
    """Return the share of each request.

    Batches get task slots in the order in which they were sent. So requests of equal weight take turns by themselves
    when there are more requests than task slots. A request of less weight sends less often.
    """
    given = max_min_shares(claims, slots)
    # By weight alone, since a small demand must not slow down those that have more.
    entitled = max_min_shares({name: claim._replace(demand=math.inf) for name, claim in claims.items()}, slots)
    largest = min(1.0, max(entitled.values(), default=1.0))
    is_crowded = sum(given.values()) > slots - _ROUNDING
    running = whole_slots(given, int(slots))
    result: dict[str, Share] = {}
    for name, claim in claims.items():
        # A request that can use nothing now may have work at any moment.
        mine = given[name] or min(1.0, entitled[name])
        sends_less = is_crowded and mine < largest and claim.demand > mine
        result[name] = Share(mine, running[name], mine / largest if sends_less else 1.0, slots)
    return result


def whole_slots(given: Mapping[str, float], slots: int) -> dict[str, int]:
    """Return shares as whole task slots that add up to no more than there are, by largest remainder."""
    result = {name: math.floor(share + _ROUNDING) for name, share in given.items()}
    remainders = {name: share - result[name] for name, share in given.items() if share - result[name] > _ROUNDING}
    left = max(0, slots - sum(result.values()))
    for name in sorted(remainders, key=remainders.__getitem__, reverse=True)[:left]:
        result[name] += 1
    return result
