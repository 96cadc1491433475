"""
The services' answers as pages in files, and a transport that reads them in place of the network.

The real clients run over it, so that reading and decoding are counted as they are, and what an emulated service would
compute is not. A page is one line of `<name>.pages`, and its number is what the link to the next one names.
"""

import io
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import requests
from requests.adapters import BaseAdapter

PAGE = 100
# What has no file is an empty list: deployments, builds, pull requests that moved since the last compare.
_EMPTY = b'{"values": []}'


def write_list(file: Path, key: str, rows: Iterable[str], following: str) -> None:
    """
    Write a list's pages.

    Args:
        key: what the rows stand under: "records" or "values".
        rows: each one's JSON.
        following: the last member of every page but the last, with `{}` for the number of the next page.
    """
    source = iter(rows)
    page, number = list(islice(source, PAGE)), 0
    with file.open("w") as lines:
        while page or not number:
            number += 1
            later = list(islice(source, PAGE))
            more = f", {following.replace('{}', str(number))}" if later else ""
            lines.write(f'{{"{key}": [{", ".join(page)}]{more}}}\n')
            page = later


def file_of(folder: Path, path: str) -> Path:
    """Where the answer to a path lies: the part behind the workspace, or of Airtable's listing "records"."""
    return folder / (unquote(path).strip("/").replace("/", "_") + ".pages")


class Pages(BaseAdapter):
    """Stands in for both services."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._starts: dict[Path, list[int]] = {}

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """The page that is asked for."""
        del stream, timeout, verify, cert, proxies
        url = urlsplit(request.url or "")
        if url.path.endswith("/listRecords"):
            asked: dict[str, Any] = json.loads(request.body or b"{}")
            body = self._read(file_of(self._folder, "records"), int(asked.get("offset", 0)))
        else:
            number = parse_qs(url.query).get("page", ["0"])[0]
            body = self._read(file_of(self._folder, url.path.partition("/acme/")[2]), int(number))
        answer = requests.Response()
        answer.status_code = 200
        answer.headers["content-type"] = "application/json; charset=utf-8"
        answer.encoding = "utf-8"
        answer.url, answer.request, answer.raw = request.url or "", request, io.BytesIO(body)
        return answer

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, path: Path, number: int) -> bytes:
        if not path.exists():
            return _EMPTY
        with path.open("rb") as file:
            if path not in self._starts:
                starts = [0]
                starts.extend(file.tell() for _ in iter(file.readline, b""))
                self._starts[path] = starts
            file.seek(self._starts[path][number])
            return file.readline()


class FreeGate:
    """A budget without a limit: how fast a service may be asked is not what is measured."""

    def charge(self, *, changing: bool) -> None:
        """Nothing."""

    def observe(self, status: int, headers: Mapping[str, str], code: str) -> None:
        """Nothing."""
