"""A gateway on the rehearsal model, and the two official SDKs pointed at it."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import anthropic
import openai
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get("PORTCULLIS_BIN", ROOT / "target" / "debug" / "portcullis"))
FOREIGN = ("PORTCULLIS", "OPENAI", "ANTHROPIC", "OTEL_", "RUST_LOG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class Gateway:
    """A running gateway and what it wrote down."""

    def __init__(self, process, directory, addresses):
        self.process = process
        self.directory = directory
        listener = next(one for one in addresses["listeners"] if one["protocol"] == "http")
        self.url = f"http://{listener['address']}"

    def records(self):
        path = self.directory / "records.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def settled(self):
        """How many records there are, once those of earlier requests are written."""
        count = -1
        while count != len(self.records()):
            count = len(self.records())
            time.sleep(0.15)
        return count

    def new_records(self, before, count):
        """The records after the first `before`, once there are `count` of them and no more follow."""
        deadline = time.monotonic() + 10
        while len(self.records()) < before + count and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        return self.records()[before:]


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    directory = tmp_path_factory.mktemp("gateway")
    config = directory / "gateway.toml"
    config.write_text(
        'listeners = [{ protocol = "http", address = "127.0.0.1:0" }]\n'
        '[ops]\naddress = "127.0.0.1:0"\n'
        f'[record]\npath = {json.dumps(str(directory / "records.jsonl"))}\nflush_every = "5ms"\n'
        "[reload]\nwatch = false\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}
    environment["PORTCULLIS_ADDRESSES_FILE"] = str(directory / "addresses.json")
    log = open(directory / "log", "wb")
    process = subprocess.Popen(
        [str(BINARY), "serve", "--config", str(config)],
        cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
    )
    addresses, deadline = None, time.monotonic() + 90
    while addresses is None:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            sys.exit(f"the gateway does not start:\n{(directory / 'log').read_text()}")
        try:
            addresses = json.loads((directory / "addresses.json").read_text())
        except (OSError, ValueError):
            time.sleep(0.02)
    yield Gateway(process, directory, addresses)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture(autouse=True)
def no_foreign_settings(monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith(FOREIGN):
            monkeypatch.delenv(name)


@pytest.fixture
def oai(gateway, no_foreign_settings):
    """The OpenAI SDK with its default retries, pointed at the gateway by the environment variable alone."""
    os.environ["OPENAI_BASE_URL"] = f"{gateway.url}/v1"
    os.environ["OPENAI_API_KEY"] = "client-key"
    with openai.OpenAI() as client:
        yield client
    del os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]


@pytest.fixture
def claude(gateway, no_foreign_settings):
    """The Anthropic SDK with its default retries, pointed at the gateway by the environment variable alone."""
    os.environ["ANTHROPIC_BASE_URL"] = gateway.url
    os.environ["ANTHROPIC_API_KEY"] = "client-key"
    with anthropic.Anthropic() as client:
        yield client
    del os.environ["ANTHROPIC_BASE_URL"], os.environ["ANTHROPIC_API_KEY"]
