# SPDX-License-Identifier: GPL-2.0-or-later
"""stats.py - medians, how sure they are, and whether two sets differ

Owner: suite, report.  Thread: any.  Time: none.  Units: those of the values.

Nothing here assumes a distribution. The interval of a median comes from order statistics: with n repeats the k-th smallest
and k-th largest enclose the median with the probability that a binomial says. Fewer than six repeats cannot reach 95 %; then
the whole range is given, with the coverage that it really has.
"""
import itertools
import math
import random
import statistics

COVERAGE = 0.95
EXACT_MAX = 20000     # so many ways of dealing two sets are tried one by one
DEALS = 10000         # else so many at random
SEED = 20260101


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def coverage(n, k):
    """Probability that the k-th smallest and k-th largest of n (k from 1) enclose the median."""
    below = sum(math.comb(n, i) for i in range(k))
    return 1 - 2 * below / 2 ** n


def median_interval(values, wanted=COVERAGE):
    """(low, high, coverage) of the median: the narrowest pair that covers @wanted, else the range. None of nothing."""
    values = sorted(value for value in values if value is not None)
    n = len(values)
    if not n:
        return None
    best = 1
    for k in range(1, n // 2 + 1):
        if coverage(n, k) >= wanted:
            best = k
    return values[best - 1], values[n - best], max(0.0, coverage(n, best))


def half_width(values):
    """Relative half-width of the 95 % interval of the median, or None when the repeats cannot give one."""
    interval = median_interval(values)
    middle = median(values)
    if interval is None or interval[2] < COVERAGE or not middle:
        return None
    return (interval[1] - interval[0]) / 2 / abs(middle)


def repeats_needed(wanted=COVERAGE):
    """The fewest repeats whose range covers the median with @wanted."""
    n = 1
    while coverage(n, 1) < wanted:
        n += 1
    return n


def _ranks(values):
    """Rank of each value from 1, equal ones share the mean of theirs."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks, i = [0.0] * len(values), 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and values[order[j + 1]] == values[order[i]]:
            j += 1
        for k in range(i, j + 1):
            ranks[order[k]] = (i + j) / 2 + 1
        i = j + 1
    return ranks


def difference_p(one, other):
    """Probability that two sets dealt at random lie as far apart as these: rank sums, two-sided (Mann, Whitney).

    Exact where there are few ways to deal, else estimated with a fixed seed.
    """
    ranks, n = _ranks(list(one) + list(other)), len(one)
    middle = n * (len(ranks) + 1) / 2
    seen = abs(sum(ranks[:n]) - middle) - 1e-9
    if math.comb(len(ranks), n) <= EXACT_MAX:
        sums = [sum(chosen) for chosen in itertools.combinations(ranks, n)]
        return sum(abs(found - middle) >= seen for found in sums) / len(sums)
    dealer, hits = random.Random(SEED), 1
    for _ in range(DEALS):
        hits += abs(sum(dealer.sample(ranks, n)) - middle) >= seen
    return hits / (DEALS + 1)


def smallest_p(n, m):
    """What difference_p() can say at best with so many values: two ways to deal them apart."""
    return 2 / math.comb(n + m, n)


def signed_rank_p(differences):
    """Probability of so one-sided a set of paired differences (Wilcoxon's signed ranks, two-sided, zeros left out).

    Exact by counting sign patterns up to 14 pairs, else estimated with a fixed seed.
    """
    found = sorted((d for d in differences if d), key=abs)
    if not found:
        return 1.0
    ranks = _ranks([abs(d) for d in found])
    middle = sum(ranks) / 2
    seen = abs(sum(rank for rank, d in zip(ranks, found) if d > 0) - middle) - 1e-9
    if len(found) <= 14:
        patterns = itertools.product((0, 1), repeat=len(found))
        total = 2 ** len(found)
        hits = sum(abs(sum(r for r, sign in zip(ranks, signs) if sign) - middle) >= seen for signs in patterns)
        return hits / total
    dealer = random.Random(SEED)
    hits = 1 + sum(abs(sum(r for r in ranks if dealer.random() < 0.5) - middle) >= seen for _ in range(DEALS))
    return hits / (DEALS + 1)
