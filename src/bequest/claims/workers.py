"""Tasks in worker processes: started afresh, single-threaded, stopped with a checkpoint.

This module imports neither torch nor numpy, so that a worker can set its threads before they are
there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import connection
from types import FrameType

from bequest.claims.runs import Outcome, Task
from bequest.errors import BequestError, StoppedError

_SINGLE_THREADED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_ATTEMPTS = 3

Work = Callable[[Task], Outcome]
"""What a worker does with a task; a function of a module that a worker can import."""


def run_parallel(
    tasks: Sequence[Task],
    *,
    workers: int,
    threads: int,
    work: Work,
    ended: Callable[[Task, Outcome], None],
) -> None:
    """Does all tasks in worker processes and hands each outcome to `ended` as it comes.

    When one worker dies (killed for memory, a crash in native code), the pool gives up all that
    were at work. Each of their tasks gets a pool of its own then, so that the guilty one is found
    and the others lose nothing.

    Args:
        tasks: Different ones.
        workers: Processes at a time.
        threads: Of each process.
        work: What is done with a task.
        ended: Called in this process.

    Raises:
        KeyboardInterrupt: After Ctrl-C, when all workers have written checkpoints and ended.
        BequestError: When workers die again and again before anything was done.
    """
    done, barren = 0, 0

    def count(task: Task, outcome: Outcome) -> None:
        nonlocal done
        done += 1
        ended(task, outcome)

    waiting: list[Task] = list(tasks)
    suspects: list[Task] = []
    while waiting or suspects:
        alone = not waiting
        todo = [suspects.pop(0)] if alone else waiting
        waiting, died = _run_pool(todo, 1 if alone else workers, threads, work, count)
        barren = barren + 1 if died and not done else 0
        if barren >= _ATTEMPTS:
            raise BequestError(
                "Worker processes die before they have done anything. A script that runs claims "
                'in several workers needs `if __name__ == "__main__":` around its main part; '
                "else memory may be short. `workers=1` works without processes."
            )
        if alone and died:
            text = "the process died: out of memory, or a crash in native code"
            ended(died[0], Outcome(error=text))
        else:
            suspects += died


def _run_pool(
    tasks: Sequence[Task], workers: int, threads: int, work: Work, ended: Callable[..., None]
) -> tuple[list[Task], list[Task]]:
    """Does tasks until all are done or a worker dies; what was not begun, and what died."""
    before = set(multiprocessing.active_children())
    waiting = deque(tasks)
    running: dict[Future[Outcome], Task] = {}
    died: list[Task] = []
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(threads,),
    )
    try:
        while running or (waiting and not died):
            # Never more than are at work: what waits in the pool could not be stopped.
            while waiting and not died and len(running) < workers:
                running[pool.submit(_work, work, waiting[0])] = waiting[0]
                waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    died.append(task)
                else:
                    ended(task, future.result())
    except BrokenProcessPool:  # noticed at `submit`: nothing of what runs will come back
        died += running.values()
    except (KeyboardInterrupt, StoppedError):
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()  # SIGTERM: each run writes its checkpoint first
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return list(waiting), died


# -- inside a worker ---------------------------------------------------------------------------


def _prepare(threads: int) -> None:
    """Sets the threads before torch is imported, and leaves all signals to the parent."""
    for name in _SINGLE_THREADED:
        os.environ[name] = str(threads)
    # Threads that wait actively steal the cores from the other workers.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A group of its own: Ctrl-C in the terminal reaches the parent alone, which asks each worker
    # once. (A run takes a second request for an order to end at once, without a checkpoint.)
    with suppress(OSError):
        os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _work(work: Work, task: Task) -> Outcome:
    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Ignored between tasks: a worker that died there would break the pool for the others. Within
    # its steps a run has a handler of its own, which saves first.
    previous = signal.signal(signal.SIGTERM, stop)
    try:
        return work(task)
    except KeyboardInterrupt:
        raise StoppedError("stopped outside of its steps") from None
    finally:
        signal.signal(signal.SIGTERM, previous)


def _end_with_parent() -> None:
    """Ends this process, with a checkpoint, when its parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
    os._exit(1)
