"""Files out of an archive, in memory: nothing is written, wherever a name may point to."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

from bequest.errors import InputError


def unpacked(archive: Path, names: set[str]) -> dict[str, bytes]:
    """The files of those names.

    Raises:
        InputError: When the archive cannot be read, or lacks one of them.
    """
    content = unpacked_where(archive, lambda name: name in names)
    missing = sorted(names - set(content))
    if missing:
        raise InputError(f"'{archive}' lacks {', '.join(missing)}.")
    return content


def unpacked_where(archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The files whose name is wanted, by name.

    Raises:
        InputError: When the archive cannot be read.
    """
    content = {}
    try:
        with tarfile.open(archive) as packed:
            for member in packed:
                stream = packed.extractfile(member) if wanted(member.name) else None
                if stream is not None:
                    content[member.name] = stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(
            f"'{archive}' cannot be read as an archive ({error}). Get it again."
        ) from error
    return content
