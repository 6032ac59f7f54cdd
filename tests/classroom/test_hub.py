"""The hub of classroom/ for real: Unix accounts, limits that hold, servers that outlive it."""

import re
import shutil
import time
from urllib.parse import urlparse

import hub
import machine
import pytest
import requests
from hub import HUB
from learner import Learner
from playwright.sync_api import sync_playwright

UNIT = "jupyter-{}-singleuser.service"
SERVICE = "JUPYTERHUB_SERVICE_URL="
HOMES = "/home"  # of the learners, on the machine that the test boots
READ = "try: print(open({!r}).read())\nexcept OSError as error: print(type(error).__name__)"


def properties(server, name: str, *wanted: str) -> list[str]:
    """Properties of a learner's unit."""
    return [server.do("systemctl", "show", UNIT.format(name), "-P", p).strip() for p in wanted]


def test_a_wrong_password_is_refused(server):
    assert Learner("alice").sign_in("guessed") == "Invalid username or password"
    assert Learner("alice").sign_in(server.passwords["bob"]) == "Invalid username or password"
    assert Learner("nobody").sign_in("") == "Invalid username or password"


def test_an_account_outside_the_class_is_refused(server):
    server.do("useradd", "mallory")
    server.do("chpasswd", input="mallory:right\n")
    assert Learner("mallory").sign_in("right") == "Invalid username or password"
    server.do("usermod", "--append", "--groups", "learners", "mallory")
    assert Learner("mallory").sign_in("right") == ""


def test_a_learner_is_a_unix_user_with_the_course_at_home(learners):
    for learner in learners:
        said = learner.kernel().run("import os, pwd; print(pwd.getpwuid(os.getuid()).pw_name)")
        assert said == learner.name
        there = learner.ask("GET", f"{learner.home}/api/contents/notebooks").json()["content"]
        assert "03a_gradient_based.ipynb" in {file["name"] for file in there}


def test_learners_cannot_read_each_others_files(learners, server):
    alice, bob = (learner.kernel() for learner in learners)
    for path in (f"{HOMES}/alice/secret.txt", "/tmp/secret.txt"):
        alice.run(f"print('mine', file=open({path!r}, 'w'))")
        assert alice.run(READ.format(path)) == "mine"
    assert bob.run(READ.format(f"{HOMES}/alice/secret.txt")) == "PermissionError"
    assert bob.run(READ.format("/tmp/secret.txt")) == "FileNotFoundError"
    assert bob.run(READ.format("/var/lib/jupyterhub/jupyterhub.sqlite")) == "PermissionError"
    (pid,) = properties(server, "alice", "MainPID")
    assert bob.run(READ.format(f"/proc/{pid}/environ")) == "PermissionError"  # has her token
    sudo = "import subprocess; print(subprocess.run(['su', '-c', 'id'], input=b'').returncode)"
    assert bob.run(sudo) != "0"


def test_learners_cannot_use_each_others_servers(learners, server):
    alice, bob = learners
    address = f"{alice.home}/api/contents/letter.txt"
    letter = {"type": "file", "format": "text", "content": "mine"}
    assert alice.ask("PUT", address, json=letter).status_code == 201
    assert alice.ask("GET", address).json()["content"] == "mine"
    assert bob.ask("GET", address).status_code == 403
    assert bob.ask("POST", f"{alice.home}/api/kernels").status_code == 403
    page = bob.session.get(f"{alice.home}/lab")  # as from the browser
    assert page.status_code == 403
    (pid,) = properties(server, "alice", "MainPID")
    environment = server.do("cat", f"/proc/{pid}/environ").split("\0")
    (url,) = (line.partition("=")[2] for line in environment if line.startswith(SERVICE))
    port = urlparse(url).port
    past_the_proxy = f"http://127.0.0.1:{port}/user/alice/api/contents/letter.txt"
    assert alice.ask("GET", past_the_proxy).ok
    assert bob.ask("GET", past_the_proxy).status_code == 403
    assert requests.get(past_the_proxy).status_code == 403


def test_each_learner_trains_on_one_thread(learners):
    kernel = learners[0].kernel()
    assert kernel.run("import torch; print(torch.get_num_threads())") == "1"
    assert kernel.run("import os; print(os.environ['OMP_WAIT_POLICY'])") == "PASSIVE"


def test_solutions_stay_out_of_the_hints(learners):
    kernel = learners[0].kernel()
    kernel.run("from course_utils.exercises import hint")
    assert "solution" not in "".join(kernel.run('hint("3a.1")') for _ in range(4)).lower()


def test_memory_beyond_the_limit_costs_the_kernel_and_nothing_else(learners, server):
    alice, bob = learners
    elsewhere = alice.kernel()
    elsewhere.run("x = 1")
    (limit,) = properties(server, "alice", "MemoryMax")
    assert int(limit) == 2 * 2**30
    kernel = alice.kernel()
    assert kernel.run(f"some = bytearray({int(limit) // 4}); print(len(some))") == str(2**29)
    with pytest.raises(ConnectionResetError):
        kernel.run(f"more = bytearray({int(limit)})")
    assert elsewhere.run("print(x)") == "1"
    assert bob.kernel().run("print(len(bytearray(2**30)))") == str(2**30)


def test_cores_beyond_the_limit_are_not_had(learners, server):
    """Four processes get the time of one core at most: the kernel makes them wait.

    Where other work leaves the learner less than a core, the limit is lowered until it is felt.
    """
    burn = (
        "import multiprocessing, os, time\n"
        "def spin(end):\n    while time.time() < end: pass\n"
        "fork = multiprocessing.get_context('fork')\n"
        "began, before = time.time(), sum(os.times()[2:4])\n"
        "several = [fork.Process(target=spin, args=(began + 3,)) for _ in range(4)]\n"
        "for one in several: one.start()\n"
        "for one in several: one.join()\n"
        "print((sum(os.times()[2:4]) - before) / (time.time() - began))"  # of the children
    )
    files = "find /sys/fs/cgroup -path '*/jupyter-bob-singleuser.service/cpu.stat' -exec cat {} +"
    kernel = learners[1].kernel()

    def limit_to(percent):
        quota = ["set-property", "--runtime", UNIT.format("bob"), f"CPUQuota={percent}%"]
        server.do("systemctl", *quota)

    assert properties(server, "bob", "CPUQuotaPerSecUSec") == ["1s"]
    for percent in (100, 30, 10, 3):
        if percent < 100:
            limit_to(percent)
        used = float(kernel.run(burn))
        waits = re.findall(r"nr_throttled (\d+)", server.do("sh", "-c", files))
        if any(map(int, waits)):
            break
    limit_to(100)
    assert any(map(int, waits)) and used < 1.2 * percent / 100, (used, percent, waits)


def test_threads_beyond_the_limit_are_not_had(learners, server):
    (limit,) = properties(server, "bob", "TasksMax")
    grow = (
        "import threading\n"
        "done, number = threading.Event(), 0\n"
        "try:\n"
        "    for number in range(1000): threading.Thread(target=done.wait).start()\n"
        "except RuntimeError as error: print(number, error)\n"
        "finally: done.set()"
    )
    number, said = learners[1].kernel().run(grow).split(" ", 1)
    assert said == "can't start new thread" and 50 < int(number) < int(limit) == 256


def test_a_chapter_opens_and_runs_in_the_browser(learners, server):
    """From the sign-in form to the first figure of chapter 03a, as a learner does it."""
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if path is None:
        pytest.skip("no Chromium on the path: install your system's package `chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(HUB)
        page.fill("#username_input", "alice")
        page.fill("#password_input", server.passwords["alice"])
        page.click("#login_submit")
        page.wait_for_url("**/lab/tree/notebooks/00_start_here.ipynb*")
        page.goto(f"{HUB}/user/alice/lab/tree/notebooks/03a_gradient_based.ipynb?reset")
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
        assert page.locator(".jp-OutputArea-output").count() == 0  # the student edition
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        picture = page.locator(".jp-OutputArea-output img")
        deadline = time.monotonic() + 240
        while not picture.count():
            assert time.monotonic() < deadline
            page.keyboard.press("Shift+Enter")  # runs a cell and goes to the next
            page.wait_for_timeout(1000)
        assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
        browser.close()


def test_homework_goes_out_and_comes_back_through_the_exchange(server):
    """As README.md says under "Homework"; nobody can look at what others have submitted."""
    name = "03a_gradient_based"

    def do(user, *command, folder="."):
        path = f"PATH={machine.HOME}/.venv/bin:$PATH"
        script = f"cd {folder} && {path} {' '.join(command)}"
        return server.do("bash", "-c", script, user=user)

    server.do("useradd", "--create-home", "--shell", "/bin/bash", "--groups", "teachers", "teacher")
    server.do("install", "--directory", "--mode", "0777", "/srv/nbgrader/exchange")
    server.do("install", "--directory", "/etc/jupyter")
    server.do("cp", f"{machine.HOME}/classroom/nbgrader_config.py", "/etc/jupyter/")
    do("teacher", "python -m course_utils.classroom nbgrader homework")
    do("teacher", "nbgrader generate_assignment", name, folder="homework")
    do("teacher", "nbgrader release_assignment", name, folder="homework")
    do("alice", "nbgrader fetch_assignment", name)
    do("alice", "sed -i s/NotImplementedError/MyOwnError/", f"{name}/{name}.ipynb")
    do("alice", "nbgrader submit", name)
    inbound = "/srv/nbgrader/exchange/meta-learning/inbound"
    assert server.run("ls", inbound, user="bob").returncode != 0
    assert server.run("sh", "-c", f"cat {inbound}/alice*/*.ipynb", user="bob").returncode != 0
    do("teacher", "nbgrader collect", name, folder="homework")
    arrived = f"{HOMES}/teacher/homework/submitted/alice/{name}/{name}.ipynb"
    assert "raise MyOwnError" in server.do("cat", arrived)


def test_the_hub_restarts_and_the_servers_are_still_there(learners, server):
    alice, bob = learners
    kernel = alice.kernel()
    kernel.run("remembered = 42")
    before = [properties(server, learner.name, "MainPID") for learner in learners]
    server.do("systemctl", "restart", "jupyterhub")
    hub.wait_for(server)
    deadline = time.monotonic() + 30
    while alice.ask("GET", f"{alice.home}/api/status").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert [properties(server, learner.name, "MainPID") for learner in learners] == before
    again = type(kernel)(alice, kernel.number)
    assert again.run("print(remembered)") == "42"
    assert bob.session.get(f"{HUB}/hub/home").url == f"{HUB}/hub/home"  # still signed in


def test_idle_servers_are_stopped(learners, server):
    """By the very service of the configuration, told to be less patient."""
    quick = "c.JupyterHub.services[0]['command'][-1:] = ['--timeout=1', '--cull-every=1']"
    hub.reconfigure(server, quick)
    deadline = time.monotonic() + 60
    while any(
        properties(server, learner.name, "ActiveState") == ["active"] for learner in learners
    ):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert "--timeout=3600" in server.do("cat", f"{machine.HOME}/classroom/jupyterhub_config.py")
