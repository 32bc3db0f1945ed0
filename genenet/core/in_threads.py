"""Work on items side by side in threads, with the results in order and few of them in memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], n_threads: int
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with the function's result, in the order of the items.

    At most ``n_threads`` results are being made or are waiting at a time. An error ends the iteration where its item
    would have come; what is being made then is finished, and the rest isn't begun.
    """
    with ThreadPoolExecutor(n_threads) as pool:
        begun: deque[tuple[Item, Future[Result]]] = deque()
        for item in items:
            begun.append((item, pool.submit(function, item)))
            if len(begun) == n_threads:
                first, result = begun.popleft()
                yield first, result.result()
        for first, result in begun:
            yield first, result.result()
