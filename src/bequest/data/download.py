"""Files from the network: resumed where they broke off, checked by hash, whole or not at all.

On the standard library: ``torch.hub`` neither resumes nor keeps what came before a broken
connection, and pooch does not resume either, so a package would save nothing here.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from bequest.data.catalog import RemoteFile
from bequest.errors import InputError

_BLOCK = 1 << 18
_TIMEOUT = 30.0
_RETRIES = 4


def download(file: RemoteFile, folder: Path, *, progress: bool = False) -> Path:
    """Fetches a file into a folder, unless it is there.

    What arrives is written to ``NAME.part``, and renamed when it is complete and its hash is
    right. A broken transfer stays in ``NAME.part`` and is continued by the next mirror, or by the
    next call. Of several processes one fetches, the others wait.

    Args:
        file: what to fetch, from where, with which hash.
        folder: created where it does not exist.
        progress: whether to show a bar on the standard error stream.

    Returns:
        The path of the complete file.

    Raises:
        InputError: if no mirror gave the right file, with what each said; or if the folder cannot
            be written.
    """
    target = folder / file.name
    if target.is_file():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{file.name}.lock")):
            return target if target.is_file() else _from_mirrors(file, target, progress=progress)
    except OSError as error:
        raise InputError(
            f"'{folder}' cannot be written ({error}): set BEQUEST_CACHE to a folder that can."
        ) from error


def check_digest(path: Path, digest: str) -> None:
    """Compares a file with its ``md5:...`` or ``sha256:...``.

    Raises:
        InputError: if they differ, with both.
    """
    algorithm, _, expected = digest.partition(":")
    with path.open("rb") as stream:
        # MD5 is what some publishers give; it guards against accidents, not against attackers.
        found = hashlib.file_digest(
            stream, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()
    if found != expected:
        raise InputError(
            f"'{path.name}' is not the file that was published: its {algorithm} is {found}, "
            f"expected {expected}."
        )


def _from_mirrors(file: RemoteFile, target: Path, *, progress: bool) -> Path:
    part = target.with_name(f"{file.name}.part")
    failures: dict[str, str] = {}
    queue, retries = list(file.urls), _RETRIES
    while queue:
        url = queue.pop(0)
        before = _size(part)
        try:
            _fetch(url, part, progress=progress)
        except (http.client.HTTPException, OSError) as error:
            failures[url] = str(error) or type(error).__name__
            # Only a mirror that sent something is worth another try.
            if _size(part) > before and retries:
                retries -= 1
                queue.insert(0, url)
            continue
        try:
            check_digest(part, file.digest)
        except InputError as error:
            failures[url] = str(error)
            part.unlink()
            # A continued file may be wrong because of how it began: this time from the start.
            if before:
                queue.insert(0, url)
            continue
        os.replace(part, target)
        return target
    reasons = "".join(f"\n  {url}: {reason}" for url, reason in failures.items())
    raise InputError(f"'{file.name}' could not be downloaded:{reasons}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch(url: str, part: Path, *, progress: bool) -> None:
    """Appends what is missing of a file, or writes it anew where the server cannot continue."""
    have = _size(part)
    headers = {"User-Agent": "bequest"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = _open(urllib.request.Request(url, headers=headers))
    except urllib.error.HTTPError as error:
        # Nothing comes after what is here: it is whole, or it is wrong, and the hash tells.
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return
        raise
    with response:
        if getattr(response, "status", None) != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with part.open("ab" if have else "wb") as stream, _bar(part.stem, progress) as advance:
            advance(have, total)
            while block := response.read(_BLOCK):
                stream.write(block)
                advance(len(block), total)
            stream.flush()
            os.fsync(stream.fileno())
    size = _size(part)
    if total is not None and size != total:
        raise OSError(f"the connection broke after {size:,} of {total:,} bytes")


def _open(request: urllib.request.Request) -> Any:
    """The one place that touches the network."""
    return urllib.request.urlopen(request, timeout=_TIMEOUT)


@contextmanager
def _bar(name: str, shown: bool) -> Iterator[Callable[[int, int | None], None]]:
    if not shown:
        yield lambda count, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda count, total: bar.update(task, advance=count, total=total)
