"""JupyterHub for a class on one server: a Unix account, a systemd unit and limits for each learner.

README.md beside this file says how to set it up; tests/classroom/test_hub.py tries it all.
"""

import sys
from pathlib import Path

c = get_config()  # noqa: F821

# What each learner may use at most: room for two chapters open at once. What a class takes on your
# server is measured by benchmarks/class_load.py.
c.Spawner.mem_limit = "2G"
c.Spawner.cpu_limit = 1.0  # cores
c.SystemdSpawner.unit_extra_properties = {"TasksMax": "256"}  # processes and threads
c.Spawner.environment = {
    # learners share the cores: a thread that waits for its turn must not spin
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "COURSE_SOLUTIONS": "0",  # hint(...) keeps its last one, the solution, to itself
}

# Who may sign in: accounts of this server, by their password, in one of these groups.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.allowed_groups = {"learners", "teachers"}
c.PAMAuthenticator.admin_groups = {"teachers"}

# Each learner's server is a unit of its own, so it outlives a restart of the hub.
c.JupyterHub.spawner_class = "systemdspawner.SystemdSpawner"
c.JupyterHub.cleanup_servers = False
c.SystemdSpawner.isolate_tmp = True
c.SystemdSpawner.disable_user_sudo = True
c.SystemdSpawner.default_shell = "/bin/bash"
c.SystemdSpawner.extra_paths = [str(Path(sys.prefix, "bin"))]
c.Spawner.cmd = [str(Path(sys.prefix, "bin", "jupyterhub-singleuser"))]
c.Spawner.http_timeout = 180  # seconds: all of a class start at once
c.Spawner.default_url = "/lab/tree/notebooks/00_start_here.ipynb"

# Only this machine reaches the hub; what encrypts stands before it (README.md, "Encrypt").
c.JupyterHub.bind_url = "http://127.0.0.1:8000"

# A server that nobody has used for an hour is stopped, and its memory is free for others.
c.JupyterHub.services = [
    {
        "name": "culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"],
    }
]
c.JupyterHub.load_roles = [
    {
        "name": "culler",
        "services": ["culler"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    }
]
