"""Downloads: resumed, checked, whole or not at all. The network is a dictionary."""

from __future__ import annotations

import hashlib
import io
import urllib.error
from email.message import Message

import pytest

from bequest.data import download as module
from bequest.data.catalog import DATA, NETWORKS, RemoteFile
from bequest.data.download import check_digest, download
from bequest.errors import InputError

CONTENT = bytes(range(256)) * 40
FIRST, SECOND = "https://first.example/file", "https://second.example/file"


class Response(io.BytesIO):
    """What urllib gives: a stream with headers and a status."""

    def __init__(self, content, *, status=200, length=None):
        super().__init__(content)
        self.status = status
        self.headers = {"Content-Length": str(len(content) if length is None else length)}


class Server:
    """Serves contents by url, understands ranges, breaks connections, remembers requests."""

    def __init__(self, contents, *, breaks=(), ranges=True):
        self.contents, self.breaks, self.ranges = contents, list(breaks), ranges
        self.requests = []

    def __call__(self, request):
        wanted = request.get_header("Range")
        self.requests.append((request.full_url, wanted))
        if request.full_url not in self.contents:
            raise urllib.error.HTTPError(request.full_url, 404, "Not Found", Message(), None)
        content, status = self.contents[request.full_url], 200
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                raise urllib.error.HTTPError(request.full_url, 416, "Range", Message(), None)
            content, status = content[start:], 206
        kept = content[: self.breaks.pop(0)] if self.breaks else content
        return Response(kept, status=status, length=len(content))


def remote(*urls, content=CONTENT, algorithm="sha256"):
    digest = hashlib.new(algorithm, content).hexdigest()
    return RemoteFile(name="file", urls=urls or (FIRST,), digest=f"{algorithm}:{digest}")


@pytest.fixture
def serve(monkeypatch):
    def start(contents, **options):
        server = Server(contents, **options)
        monkeypatch.setattr(module, "_open", server)
        return server

    return start


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_whole_file_arrives(tmp_path, serve, algorithm):
    serve({FIRST: CONTENT})
    path = download(remote(algorithm=algorithm), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "file"
    assert path.read_bytes() == CONTENT
    assert not list(path.parent.glob("*.part"))


def test_file_that_is_here_is_not_fetched(tmp_path, serve):
    server = serve({})
    (tmp_path / "file").write_bytes(b"mine")
    assert download(remote(), tmp_path).read_bytes() == b"mine"
    assert not server.requests


def test_broken_connection_is_continued_at_once(tmp_path, serve):
    server = serve({FIRST: CONTENT}, breaks=[1000, 500])
    assert download(remote(), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, "bytes=1000-", "bytes=1500-"]


def test_next_mirror_continues_what_the_first_began(tmp_path, serve):
    server = serve({FIRST: CONTENT, SECOND: CONTENT}, breaks=[1000, 0])
    assert download(remote(FIRST, SECOND), tmp_path).read_bytes() == CONTENT
    assert server.requests == [(FIRST, None), (FIRST, "bytes=1000-"), (SECOND, "bytes=1000-")]


def test_what_an_earlier_process_left_is_continued(tmp_path, serve):
    server = serve({FIRST: CONTENT})
    (tmp_path / "file.part").write_bytes(CONTENT[:77])
    assert download(remote(), tmp_path).read_bytes() == CONTENT
    assert server.requests == [(FIRST, "bytes=77-")]


def test_complete_part_needs_no_bytes(tmp_path, serve):
    serve({FIRST: CONTENT})
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert download(remote(), tmp_path).read_bytes() == CONTENT


def test_server_without_ranges_starts_again(tmp_path, serve):
    serve({FIRST: CONTENT}, ranges=False)
    (tmp_path / "file.part").write_bytes(b"other beginning")
    assert download(remote(), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"other beginning", CONTENT + b"more"])
def test_wrong_part_is_thrown_away(tmp_path, serve, left):
    serve({FIRST: CONTENT})
    (tmp_path / "file.part").write_bytes(left)
    assert download(remote(), tmp_path).read_bytes() == CONTENT


def test_wrong_content_is_refused_and_removed(tmp_path, serve):
    server = serve({FIRST: b"<html>", SECOND: b"<HTML>"})
    with pytest.raises(InputError) as caught:
        download(remote(FIRST, SECOND), tmp_path)
    message = str(caught.value)
    assert hashlib.sha256(b"<html>").hexdigest() in message
    assert hashlib.sha256(CONTENT).hexdigest() in message
    assert FIRST in message
    assert SECOND in message
    assert len(server.requests) == 2
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / "file.part").exists()


def test_connection_that_always_breaks_leaves_the_part(tmp_path, serve):
    serve({FIRST: CONTENT}, breaks=[100] * 100)
    with pytest.raises(InputError, match=r"broke after \d+ of 10,240 bytes"):
        download(remote(), tmp_path)
    kept = (tmp_path / "file.part").read_bytes()
    assert len(kept) >= 100
    assert CONTENT.startswith(kept)
    assert not (tmp_path / "file").exists()


def test_missing_file_is_asked_for_once(tmp_path, serve):
    server = serve({})
    with pytest.raises(InputError, match="HTTP Error 404"):
        download(remote(), tmp_path)
    assert len(server.requests) == 1


def test_real_opener(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    folder = tmp_path / "cache"
    assert download(remote(source.as_uri()), folder, progress=True).read_bytes() == CONTENT


def test_folder_that_cannot_be_written(tmp_path, serve):
    serve({FIRST: CONTENT})
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(InputError, match=r"cannot be written .* BEQUEST_CACHE"):
        download(remote(), tmp_path / "taken")


def test_digest_names_both(tmp_path):
    (tmp_path / "file").write_bytes(b"a")
    check_digest(tmp_path / "file", "md5:0cc175b9c0f1b6a831c399e269772661")
    with pytest.raises(InputError, match="md5 is 0cc175b9c0f1b6a831c399e269772661, expected 00ff"):
        check_digest(tmp_path / "file", "md5:00ff")


def test_every_file_of_the_table_has_a_digest_and_an_address():
    files = [file for entry in DATA.values() for file in entry.files]
    files += [network.file for network in NETWORKS.values()]
    lengths = {"md5": 32, "sha256": 64}
    for file in files:
        algorithm, _, digest = file.digest.partition(":")
        assert len(bytes.fromhex(digest)) * 2 == lengths[algorithm]
        assert file.urls
        assert all(url.endswith(f"/{file.name}") for url in file.urls)
