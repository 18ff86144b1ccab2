"""Work on many files in a few threads: results come in order, and only so many are made ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int = 2, ahead: int = 4
) -> Generator[tuple[Item, Result], None, None]:
    """``(item, work(item))`` for each item, in order.

    Args:
        ahead: results that may wait or be worked on beside the one that was asked for; bounds the memory.

    Closing the iterator early drops what waits. An error of ``work`` is raised in its turn.
    """
    queue: deque[tuple[Item, Future[Result]]] = deque()
    left = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead")
    try:
        queue.extend((item, pool.submit(work, item)) for item in islice(left, ahead))
        while queue:
            item, future = queue.popleft()
            queue.extend((later, pool.submit(work, later)) for later in islice(left, 1))
            yield item, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
