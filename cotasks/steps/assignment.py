"""One-to-one assignment of the greatest total weight, where weights are of single matches and of pairs of matches.

A total over single matches alone is a linear assignment, which scipy solves exactly. Weights of pairs (two entities
matched so that a relation between them is right) make it a quadratic one, for which no fast exact method is known, and
scipy's heuristics take one graph, not one for each predicate. So it is searched: depth first, the most promising match
first, leaving out branches whose upper bound is not above the best total found. The search is exact where it ends by
itself, or at a total that no assignment could exceed. After `MOST_STEPS` steps it is given up; the best assignment
found is then improved by exchanging two matches at a time, as long as that helps, and `Assignment.exact` is False.

Nothing is decided by chance. Equal totals are decided by the order of rows and columns, so whoever calls should order
them by what they are and not by what they are called.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

MOST_STEPS = 3000
"""Matches tried before the search is given up, and exchanges tried afterwards: tenths of a second."""
MOST_ROWS = 200
"""With more rows nothing is searched: the exact assignment of single matches is improved by exchanges."""
_MORE = 1e-12
"""A total counts as greater from this difference on; below it lie errors of rounding."""

Singles = Sequence[Mapping[int, float]]
"""For each row {column that it may have: weight >= 0}."""
Doubles = Mapping[tuple[int, int], Mapping[tuple[int, int], float]]
"""(row, other row), row < other row -> {(column of row, column of other row): weight > 0}."""


@dataclass(frozen=True)
class Assignment:
    """Which row has which column."""

    column: dict[int, int]
    """Row -> column, one to one; rows without a column are left out."""
    total: float
    exact: bool
    """Whether no other assignment has a greater total."""


def assign(singles: Singles, doubles: Doubles, alike: Collection[tuple[int, int]] = ()) -> Assignment:
    """The assignment of the greatest total weight.

    Args:
        singles: Weights of matches; a row has one of the columns that it lists, or none.
        doubles: Weights of pairs of matches, on top of these.
        alike: (row, column) that are tried before others, since they look the same.

    Raises MissingExtra where scipy is needed and not installed.
    """
    if not any(doubles.values()):
        return _linear(singles)
    search = _Search(singles, doubles, frozenset(alike))
    if len(singles) <= MOST_ROWS:
        search.go(0, 0.0, [dict(row) for row in singles])
    else:
        search.found = _linear(singles).column
        search.best, search.steps = search.total(search.found), MOST_STEPS
    exact = search.steps < MOST_STEPS or search.best >= search.highest - _MORE
    if not exact:
        search.improve()
    return Assignment(dict(sorted(search.found.items())), search.best, exact)


def _linear(singles: Singles) -> Assignment:
    """By scipy, where any row could choose."""
    columns = sorted({column for row in singles for column, weight in row.items() if weight > 0})
    if not columns:
        return Assignment({}, 0.0, True)
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        from cotasks.errors import MissingExtra

        raise MissingExtra("scipy", "report") from None
    weights = [[row.get(column, 0.0) for column in columns] for row in singles]
    chosen = [(int(row), columns[place]) for row, place in zip(*linear_sum_assignment(weights, True), strict=True)]
    found = {row: column for row, column in chosen if singles[row].get(column, 0.0) > 0}
    return Assignment(found, sum(singles[row][column] for row, column in found.items()), True)


@dataclass
class _Search:
    """Depth first over the rows, in an order of their own."""

    singles: Singles
    doubles: Doubles
    alike: frozenset[tuple[int, int]]
    steps: int = 0
    best: float = -1.0
    found: dict[int, int] = field(default_factory=dict)
    chosen: dict[int, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        top = {rows: max(table.values(), default=0.0) for rows, table in self.doubles.items()}
        promise = [max(row.values(), default=0.0) for row in self.singles]
        for rows, weight in top.items():
            for row in rows:
                promise[row] += weight
        self.order = sorted(range(len(self.singles)), key=lambda row: (-round(promise[row], 12), row))
        place = {row: depth for depth, row in enumerate(self.order)}
        # what pairs of rows that are both still to come can add, by depth
        self.rest = [0.0] * (len(self.order) + 1)
        for (a, b), weight in top.items():
            for depth in range(min(place[a], place[b]) + 1):
                self.rest[depth] += weight
        # (row, its column, other row) -> {column of the other row: weight}
        self.adds: dict[tuple[int, int], dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        for (a, b), table in self.doubles.items():
            for (i, j), weight in table.items():
                self.adds[a, i][b][j] = self.adds[b, j][a][i] = weight
        self.highest = min(self._highest_of_rows(top), self._highest_of_columns())

    def _highest_of_rows(self, top: Mapping[tuple[int, int], float]) -> float:
        return sum(max(row.values(), default=0.0) for row in self.singles) + sum(top.values())

    def _highest_of_columns(self) -> float:
        """No column, and no pair of columns, can give more than its greatest weight."""
        one: dict[int, float] = defaultdict(float)
        for row in self.singles:
            for column, weight in row.items():
                one[column] = max(one[column], weight)
        two: dict[tuple[int, int], float] = defaultdict(float)
        for table in self.doubles.values():
            for (i, j), weight in table.items():
                pair = min(i, j), max(i, j)
                two[pair] = max(two[pair], weight)
        return sum(one.values()) + sum(two.values())

    def go(self, depth: int, total: float, gains: list[dict[int, float]]) -> None:
        """Try every column for the row at this depth.

        Args:
            depth: place in the order; the rows before it are chosen.
            total: of these.
            gains: for each row {column: what it adds beside the chosen ones}.
        """
        if depth == len(self.order):
            if total > self.best + _MORE:
                self.best, self.found = total, dict(self.chosen)
            return
        row = self.order[depth]
        free = [column for column in gains[row] if column not in self.used]
        free.sort(key=lambda column: ((row, column) not in self.alike, -round(gains[row][column], 12), column))
        for column in [*free, None]:
            if self.steps >= MOST_STEPS or self.best >= self.highest - _MORE:
                return
            self.steps += 1
            after = list(gains)
            if column is not None:
                for other, table in self.adds.get((row, column), {}).items():
                    if other not in self.chosen:
                        after[other] = {j: weight + table.get(j, 0.0) for j, weight in gains[other].items()}
                self.chosen[row] = column
                self.used.add(column)
            now = total if column is None else total + gains[row][column]
            if now + self._could_add(depth + 1, after) > self.best + _MORE:
                self.go(depth + 1, now, after)
            if column is not None:
                del self.chosen[row]
                self.used.remove(column)

    def _could_add(self, depth: int, gains: Sequence[Mapping[int, float]]) -> float:
        """More than the rows from this depth on cannot add."""
        bound = self.rest[depth]
        for row in self.order[depth:]:
            bound += max((weight for column, weight in gains[row].items() if column not in self.used), default=0.0)
        return bound

    def total(self, column: Mapping[int, int]) -> float:
        """The total weight of an assignment."""
        singles = sum(self.singles[row][j] for row, j in column.items())
        both = (
            table.get((column[a], column[b]), 0.0)
            for (a, b), table in self.doubles.items()
            if a in column and b in column
        )
        return singles + sum(both)

    def improve(self) -> None:
        """Give a row another column, and its holder that of the row, as long as the total grows."""
        better, left = True, MOST_STEPS
        while better:
            better = False
            for row in self.order:
                for column in sorted(self.singles[row]):
                    changed = self._exchanged(row, column)
                    if changed is not None:
                        left -= 1
                        if left < 0:
                            return
                        if (total := self.total(changed)) > self.best + _MORE:
                            self.best, self.found, better = total, changed, True

    def _exchanged(self, row: int, column: int) -> dict[int, int] | None:
        """None where the row has that column, or its holder may not have the row's."""
        if self.found.get(row) == column:
            return None
        changed = {**self.found, row: column}
        holder = next((other for other, j in self.found.items() if j == column), None)
        if holder is not None:
            del changed[holder]
            if row in self.found:
                if self.found[row] not in self.singles[holder]:
                    return None
                changed[holder] = self.found[row]
        return changed
