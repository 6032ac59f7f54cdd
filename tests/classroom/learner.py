"""A learner at a hub: signs in, starts a server, runs code in a kernel there."""

import json
import re
import time
import uuid
from collections.abc import Iterator

import requests
import websocket
from hub import HUB


class Learner:
    """Somebody with a browser's cookies, and once signed in with a token for the API."""

    def __init__(self, name: str):
        self.name, self.session, self.token = name, requests.Session(), ""
        self.home = f"{HUB}/user/{name}"

    def sign_in(self, password: str) -> str:
        """What the hub complains about, "" if it lets the learner in."""
        self.session.get(f"{HUB}/hub/login")
        fields = {"username": self.name, "password": password, "_xsrf": self._cookie("/hub/")}
        answer = self.session.post(f"{HUB}/hub/login?next=/hub/home", data=fields)
        if not answer.ok:
            error = re.search(r'class="login_error">\s*(.*?)\s*<', answer.text, re.S)
            return error[1] if error else f"{answer.status_code}: {answer.text}"
        answer = self.session.post(
            f"{HUB}/hub/api/users/{self.name}/tokens", json={},
            headers={"X-XSRFToken": self._cookie("/hub/"), "Referer": f"{HUB}/hub/home"},
        )  # fmt: skip
        answer.raise_for_status()
        self.token = answer.json()["token"]
        return ""

    def _cookie(self, path: str) -> str:
        return next(c.value for c in self.session.cookies if (c.name, c.path) == ("_xsrf", path))

    def ask(self, method: str, url: str, **options) -> requests.Response:
        """The answer to a request with the learner's token, and no redirect followed."""
        headers = {"Authorization": f"token {self.token}"}
        return requests.request(method, url, headers=headers, allow_redirects=False, **options)

    def start(self, seconds: float = 180) -> None:
        """Start the learner's server and return when it answers; TimeoutError if it does not."""
        self.ask("POST", f"{HUB}/hub/api/users/{self.name}/server").raise_for_status()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.ask("GET", f"{self.home}/api/status").status_code == 200:
                return
            time.sleep(0.3)
        raise TimeoutError(f"{self.name}'s server is not there after {seconds:g} s")

    def kernel(self, folder: str = "") -> "Kernel":
        """A new kernel on the learner's server, that works in `folder`."""
        answer = self.ask(
            "POST", f"{self.home}/api/kernels", json={"name": "python3", "path": folder}
        )
        answer.raise_for_status()
        return Kernel(self, answer.json()["id"])


class Kernel:
    """A kernel of a learner's, reached through the hub's proxy as the browser reaches it."""

    def __init__(self, learner: Learner, number: str):
        self.number = number
        address = f"{learner.home}/api/kernels/{number}/channels".replace("http://", "ws://", 1)
        self.socket = websocket.create_connection(
            address, header={"Authorization": f"token {learner.token}"}, timeout=1800
        )

    def outputs(self, code: str) -> Iterator[dict]:
        """Run `code`: the outputs as they come, in the form that a notebook stores."""
        number = uuid.uuid4().hex
        header = {"msg_id": number, "msg_type": "execute_request", "username": "",
                  "session": number, "version": "5.3", "date": ""}  # fmt: skip
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {},
                   "allow_stdin": False, "stop_on_error": True}  # fmt: skip
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content,
                   "channel": "shell", "buffers": []}  # fmt: skip
        self.socket.send(json.dumps(message))
        while True:
            frame = self.socket.recv()
            if isinstance(frame, bytes):  # buffers of a widget
                continue
            answer = json.loads(frame)
            kind, content = answer["header"]["msg_type"], answer["content"]
            if kind == "status" and content["execution_state"] in ("restarting", "dead"):
                raise ConnectionResetError("the kernel died")
            if answer["parent_header"].get("msg_id") != number:
                continue
            if kind in ("stream", "display_data", "execute_result", "error"):
                yield {"output_type": kind, **content}
            elif kind == "status" and content["execution_state"] == "idle":
                return

    def run(self, code: str) -> str:
        """What `code` prints; RuntimeError if it raises, ConnectionResetError if it dies."""
        printed = ""
        for output in self.outputs(code):
            if output["output_type"] == "error":
                raise RuntimeError(f"{output['ename']}: {output['evalue']}")
            printed += output.get("text", "")
        return printed.strip()
