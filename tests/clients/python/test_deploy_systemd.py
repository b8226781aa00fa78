"""The systemd unit, and what the gateway tells a service manager: the test listens where systemd would."""

import configparser
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import BINARY, FOREIGN, ROOT
from test_fleet import until

UNIT = ROOT / "deploy" / "systemd" / "portcullis.service"


class Manager:
    """A gateway, and the socket it notifies."""

    def __init__(self, directory, abstract=False, watchdog=None, more=""):
        self.directory, self.told = directory, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"\0portcullis-test-{os.getpid()}-{directory.name}" if abstract else str(directory / "notify")
        self.socket.bind(path)
        self.socket.settimeout(0.05)
        config = directory / "gateway.toml"
        config.write_text(
            'listeners = [{ protocol = "http", address = "127.0.0.1:0" }]\n[server]\nworkers = 1\ndrain_delay = "100ms"\n'
            '[ops]\naddress = "127.0.0.1:0"\n[store]\nurl = ""\n[reload]\nwatch = false\n' + more)
        environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}
        environment |= {"NOTIFY_SOCKET": path.replace("\0", "@"), "PORTCULLIS_ADDRESSES_FILE": str(directory / "addresses.json")}
        if watchdog:
            environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        with open(directory / "log", "wb") as log:
            self.process = subprocess.Popen([str(BINARY), "serve", "--config", str(config)], cwd=directory, env=environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def hear(self):
        """What was told since the last time, each as a dictionary."""
        while True:
            try:
                text = self.socket.recv(65536).decode()
            except TimeoutError:
                return self.told
            self.told.append(dict(line.split("=", 1) for line in text.splitlines()))

    def wait(self, what, condition, seconds=120):
        def heard():
            found = condition(self.hear())
            assert found or self.process.poll() is None, (self.directory / "log").read_text()
            return found

        return until(what, heard, seconds)

    def ready(self):
        return self.wait("READY=1", lambda told: [one for one in told if one.get("READY") == "1"], 240)

    def reload(self):
        """What is told about a reload, from RELOADING to READY."""
        before = len(self.hear())
        began = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.process.send_signal(signal.SIGHUP)
        told = self.wait("the reload ends", lambda told: [
            one for one in told[before:] if "RELOADING" in one or "READY" in one] if any("READY" in one for one in told[before:]) else None)
        assert [list(one)[0] for one in told] == ["RELOADING", "READY"], told
        assert began <= int(told[0]["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return told[1]["STATUS"]

    def end(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()


@pytest.fixture
def manager(tmp_path):
    made = []

    def make(**more):
        made.append(Manager(tmp_path, **more))
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_it_says_that_it_is_ready_once_it_answers(manager):
    one = manager()
    assert one.ready()[0]["STATUS"]
    addresses = json.loads((one.directory / "addresses.json").read_text())
    host, port = addresses["listeners"][0]["address"].rsplit(":", 1)
    socket.create_connection((host, int(port)), 5).close()


def test_a_reload_is_told_from_beginning_to_end_good_or_bad(manager):
    one = manager()
    one.ready()
    assert one.reload() == "serving, configuration 2"
    config = one.directory / "gateway.toml"
    good = config.read_text()
    config.write_text(good + "nonsense = 1\n")
    assert "rejected" in one.reload()
    config.write_text(good)
    assert one.reload() == "serving, configuration 3"


def test_signals_that_come_close_together_all_end_ready(manager):
    one = manager()
    one.ready()
    for _ in range(5):
        one.process.send_signal(signal.SIGHUP)
        time.sleep(0.002)
    # However many reloads that were: the last word is that it serves, after every RELOADING.
    def settled(told):
        last = [list(each)[0] for each in told if "RELOADING" in each or "READY" in each]
        return len(last) > 1 and last[-1] == "READY" and last.count("RELOADING") + 1 == last.count("READY")

    one.wait("it is ready again", settled)
    assert one.reload().startswith("serving")


def test_it_is_alive_until_the_end_and_says_that_it_stops(manager):
    one = manager(abstract=True, watchdog=0.4)
    one.ready()
    pings = lambda told: [each for each in told if each.get("WATCHDOG") == "1"]
    one.wait("the watchdog is fed", lambda told: len(pings(told)) > 3)
    one.process.send_signal(signal.SIGTERM)
    stopping = one.wait("STOPPING=1", lambda told: [each for each in told if each.get("STOPPING") == "1"])
    # drain_delay, drain_deadline and what is written after it.
    assert int(stopping[0]["EXTEND_TIMEOUT_USEC"]) > 120_000_000 and "draining" in stopping[0]["STATUS"]
    assert one.process.wait(30) == 0


def test_without_a_watchdog_nothing_is_fed(manager):
    one = manager()
    one.ready()
    one.reload()
    assert [each for each in one.hear() if "WATCHDOG" in each] == []


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    class Many(dict):
        """A key may come again."""

        def __setitem__(self, key, value):
            if key in self and isinstance(value, list):
                self[key].extend(value)
            else:
                super().__setitem__(key, value)

    unit = configparser.RawConfigParser(strict=False, dict_type=Many, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    service = {key: value.splitlines() for key, value in unit["Service"].items()}
    assert service["Type"] == ["notify-reload"] and "ExecReload" not in service
    assert service["WatchdogSec"] and service["NoNewPrivileges"] == ["yes"] and service["ProtectSystem"] == ["strict"]
    # Nothing is compiled at run time, so memory needs never be writable and executable.
    assert service["MemoryDenyWriteExecute"] == ["yes"]
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is not installed; tests/run installs it"
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace("/usr/local/bin/portcullis", str(BINARY.resolve())))
    done = subprocess.run([analyze, "verify", "--man=no", str(tmp_path / UNIT.name)], capture_output=True, text=True, timeout=60)
    # Before systemd 253 there is no notify-reload.
    version = subprocess.run([analyze, "--version"], capture_output=True, text=True, timeout=60).stdout.split()[1]
    too_old = "Failed to parse service type, ignoring: notify-reload"
    problems = [line for line in done.stderr.splitlines() if UNIT.name in line and not (int(version) < 253 and too_old in line)]
    assert done.returncode == 0 and problems == [], done.stderr
