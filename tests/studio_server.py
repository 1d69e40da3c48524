"""A studio in a process of its own, and a visitor who speaks to it as the page does."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

ROOT = Path(__file__).resolve().parents[1]
WAIT_S = 120.0
POINT = {"mode": "point", "point": {"valence": 0.5, "arousal": -0.3, "name": None}}
Message = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "app.py"), "--no-browser", *map(str, arguments)]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which temporary files go to a folder, and nothing is sent."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("GRADIO_")}
    quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    return {**own, **quiet, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", **more}


class Studio(NamedTuple):
    """Hold an open studio: its address, its process, and where its temporary files are."""

    url: str
    process: subprocess.Popen[str]
    folder: Path

    def close(self) -> int:
        """End it as a service is ended."""
        self.process.terminate()
        return self.process.wait(timeout=60)

    @property
    def memory(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def folders(self) -> set[str]:
        """Return the names of the temporary folders that are its own, not gradio's."""
        return {path.name for path in self.folder.glob("emomusic_*")}


def open_studio(checkpoint: Path, folder: Path, **more: str) -> Studio:
    """Open a studio, and wait until it answers."""
    port = free_port()
    log = (folder / "log.txt").open("w")
    process = subprocess.Popen(
        command("--port", port, "--checkpoint", checkpoint, "--threads", 1),
        env=environment(folder, **more), cwd=ROOT, stdout=log, stderr=log, text=True,
    )  # fmt: skip
    studio = Studio(f"http://127.0.0.1:{port}", process, folder)
    end = time.monotonic() + WAIT_S
    while process.poll() is None and time.monotonic() < end:
        try:
            httpx.get(f"{studio.url}/gradio_api/info").raise_for_status()
            return studio
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError((folder / "log.txt").read_text())


class Visitor:
    """Speak to a studio as its page does, with a session of one's own."""

    def __init__(self, url: str) -> None:
        self.url, self.session = url, secrets.token_hex(6)
        self.http = httpx.Client(timeout=WAIT_S)
        self.config = self.http.get(f"{url}/config").json()
        names = {part["id"]: part["props"].get("elem_id") for part in self.config["components"]}
        self.listeners = {
            f"{names.get(target)}.{event}": listener
            for listener in self.config["dependencies"]
            for target, event in listener["targets"]
        }

    def upload(self, data: bytes, name: str) -> Message:
        """Upload a file, and return what the page then says of it."""
        answer = self.http.post(f"{self.url}/gradio_api/upload", files={"files": (name, data)})
        (path,) = answer.raise_for_status().json()
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def begin(self, event: str, *data: Any) -> httpx.Response:
        """Put an event of the page into the queue, such as `compose.click`."""
        return self._post("queue/join", event, [None, *data])

    def at_once(self, event: str, *data: Any) -> httpx.Response:
        """Have an event answered that does not queue."""
        return self._post("run/predict", event, [*data])

    def messages(self) -> Iterator[Message]:
        """Yield what is answered to the events in the queue."""
        address, own = f"{self.url}/gradio_api/queue/data", {"session_hash": self.session}
        with self.http.stream("GET", address, params=own) as answer:
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    def ask(self, event: str, *data: Any) -> list[Message]:
        """Do something on the page, and return all answers but the queue's own."""
        self.begin(event, *data).raise_for_status()
        found = []
        for message in self.messages():
            if message["msg"] in ("process_generating", "process_completed"):
                found.append(message)
            if message["msg"] == "process_completed":
                return found
        raise AssertionError("the stream broke off")

    def compose(self, *data: Any) -> None:
        """Compose, and have the files written, as the page does one after the other."""
        assert self.ask("compose.click", *data)[-1]["success"]
        composed = self.listeners["compose.click"]["id"]
        for listener in self.config["dependencies"]:
            if listener["trigger_after"] == composed:
                self.listeners["then"] = listener
        assert self.ask("then")[-1]["success"]

    def refused(self, event: str, *data: Any) -> str:
        """Do something that must be refused, and return the words."""
        last = self.ask(event, *data)[-1]
        assert not last["success"], last
        return str(last["output"]["error"])

    def _post(self, where: str, event: str, data: list[Any]) -> httpx.Response:
        listener = self.listeners[event]
        body = {"data": data, "fn_index": listener["id"], "session_hash": self.session}
        if listener["targets"]:
            body["trigger_id"] = listener["targets"][0][0]
        # httpx itself would refuse NaN, which a forged request may hold
        own = {"content-type": "application/json"}
        address = f"{self.url}/gradio_api/{where}"
        return self.http.post(address, content=json.dumps(body), headers=own)


def form(**changes: Any) -> list[Any]:
    """Return what the page sends to compose; what is not named is as simple as may be."""
    values = {
        "picker": POINT, "variations": 1, "seed": 0, "unit": "bars", "length": 2, "key": "any",
        "mode": "any", "time_signature": "4/4", "faders": {"set": {}}, "temperature": 1.0,
        "top_p": 0.99, "best_of": 1, "performance": 1.0,
    }  # fmt: skip
    assert set(changes) <= set(values)
    return [*{**values, **changes}.values()]


def texts(found: Any) -> Iterator[str]:
    """Yield all texts anywhere in an answer."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for part in found.values() if isinstance(found, dict) else found:
            yield from texts(part)
