"""The hub of classroom/ on a machine of tests/classroom/machine.py, set up as its README says."""

import time

import requests
from machine import HOME, Machine

HUB = "http://127.0.0.1:8000"


def set_up(machine: Machine, *learners: str) -> dict[str, str]:
    """Make accounts for `learners`, start the hub; the learners' passwords by name."""
    said = machine.do(f"{HOME}/classroom/add_learners.sh", *learners)
    machine.do("cp", f"{HOME}/classroom/jupyterhub.service", "/etc/systemd/system/")
    machine.do("systemctl", "start", "jupyterhub")
    wait_for(machine)
    return dict(line.split() for line in said.splitlines())


def wait_for(machine: Machine, seconds: float = 120) -> None:
    """Return when the hub answers; RuntimeError with its log if it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{HUB}/hub/health", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    log = machine.run("journalctl", "--unit", "jupyterhub", "--no-pager").stdout
    raise RuntimeError(f"the hub did not start:\n{log[-3000:]}")


def reconfigure(machine: Machine, *lines: str) -> None:
    """Start the hub anew with its own configuration and then `lines` of Python."""
    config = "/etc/jupyterhub_config.py"
    own = f"load_subconfig('{HOME}/classroom/jupyterhub_config.py')"
    machine.do("tee", config, input="\n".join(["c = get_config()", own, *lines]))
    drop_in = f"[Service]\nExecStart=\nExecStart={HOME}/.venv/bin/jupyterhub --config {config}\n"
    machine.do("mkdir", "--parents", "/etc/systemd/system/jupyterhub.service.d")
    machine.do("tee", "/etc/systemd/system/jupyterhub.service.d/own.conf", input=drop_in)
    machine.do("systemctl", "daemon-reload")
    machine.do("systemctl", "restart", "jupyterhub")
    wait_for(machine)
