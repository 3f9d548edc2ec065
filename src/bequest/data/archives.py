"""Files out of an archive, in memory."""

from __future__ import annotations

import tarfile
from pathlib import Path

from bequest.errors import InputError


def unpacked(archive: Path, names: set[str]) -> dict[str, bytes]:
    """The files of those names, in memory: nothing is written, wherever a name may point to.

    Raises:
        InputError: When the archive cannot be read, or lacks one of them.
    """
    content = {}
    try:
        with tarfile.open(archive) as packed:
            for member in packed:
                stream = packed.extractfile(member) if member.name in names else None
                if stream is not None:
                    content[member.name] = stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"'{archive}' cannot be read as an archive ({error}).") from error
    missing = sorted(names - set(content))
    if missing:
        raise InputError(f"'{archive}' lacks {', '.join(missing)}.")
    return content
