"""The values for Zero to JupyterHub, and the links: what can be held without a cluster."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
import yaml
from nativeauthenticator import NativeAuthenticator
from traitlets.config import Config, PyFileConfigLoader

CLASSROOM = Path(__file__).parents[2] / "classroom"
NOTEBOOKS = CLASSROOM.parent / "notebooks"
NUMBER, TEXT = (int, float), str
# The part of the chart's values.schema.yaml that is used here; it forbids any other key beside
# those that it lists. `dict` stands where the schema leaves the keys open.
SCHEMA = {
    "hub": {"config": dict, "extraConfig": dict},
    "proxy": {"https": {"enabled": bool, "hosts": list, "letsencrypt": {"contactEmail": TEXT}}},
    "singleuser": {
        "image": {"name": TEXT, "tag": TEXT},
        "defaultUrl": TEXT,
        "startTimeout": NUMBER,
        "cpu": {"limit": NUMBER, "guarantee": NUMBER},
        "memory": {"limit": (int, float, str), "guarantee": (int, float, str)},
        "extraEnv": dict,
        "storage": {"capacity": TEXT},
    },
    "cull": {"enabled": bool, "timeout": NUMBER, "every": NUMBER},
    "prePuller": {"hook": {"enabled": bool}, "continuous": {"enabled": bool}},
    "scheduling": {
        "userScheduler": {"enabled": bool},
        "userPlaceholder": {"enabled": bool, "replicas": int},
    },
}


def faults(values, schema, where=""):
    """What in `values` is not as `schema` says."""
    if isinstance(schema, dict):
        for key, value in values.items():
            if key in schema:
                yield from faults(value, schema[key], f"{where}.{key}")
            else:
                yield f"{where}.{key} is unknown"
    elif not isinstance(values, schema) or (isinstance(values, bool) and schema is not bool):
        yield f"{where} is {values!r}"


@pytest.fixture(scope="module")
def values():
    return yaml.safe_load((CLASSROOM / "kubernetes.yaml").read_text(encoding="utf8"))


@pytest.fixture(scope="module")
def hub_config() -> Config:
    return PyFileConfigLoader("jupyterhub_config.py", str(CLASSROOM)).load_config()


def test_every_key_is_one_of_the_chart(values):
    assert list(faults(values, SCHEMA)) == []


@pytest.mark.parametrize(("bad", "fault"), [
    ({"cull": {"timeuot": 1}}, ".cull.timeuot is unknown"),
    ({"singleuser": {"cpu": {"limit": "1"}}}, ".singleuser.cpu.limit is '1'"),
    ({"cull": {"every": True}}, ".cull.every is True"),
    ({"hub": {"config": []}}, ".hub.config is []"),
])  # fmt: skip
def test_a_wrong_key_or_kind_is_caught(bad, fault):
    assert list(faults(bad, SCHEMA)) == [fault]


def test_the_authenticator_knows_its_settings(values):
    config = values["hub"]["config"]
    assert config["JupyterHub"] == {"authenticator_class": "native"}
    known = set(NativeAuthenticator.class_trait_names(config=True))
    assert set(config["Authenticator"]) | set(config["NativeAuthenticator"]) <= known
    for name, code in values["hub"]["extraConfig"].items():
        compile(code, name, "exec")


def test_the_limits_are_those_of_one_server(values, hub_config):
    single, spawner = values["singleuser"], hub_config.Spawner
    assert single["memory"]["limit"] == spawner.mem_limit
    assert single["cpu"]["limit"] == spawner.cpu_limit
    assert single["extraEnv"] == spawner.environment
    assert all(isinstance(value, str) for value in single["extraEnv"].values())
    assert f"--timeout={values['cull']['timeout']}" in hub_config.JupyterHub.services[0]["command"]


def test_the_link_leads_to_a_chapter():
    (link,) = re.findall(r"https://hub\S*git-pull\S+", (CLASSROOM / "README.md").read_text("utf8"))
    address = urlparse(link)
    asked = {key: value for key, (value,) in parse_qs(address.query, strict_parsing=True).items()}
    assert address.path == "/hub/user-redirect/git-pull"
    assert set(asked) == {"repo", "branch", "urlpath"}
    opened = asked["urlpath"].removeprefix("lab/tree/")
    folder, notebooks, chapter = opened.split("/")
    assert folder == asked["repo"].rsplit("/", 1)[-1]  # where nbgitpuller puts it
    assert notebooks == "notebooks" and (NOTEBOOKS / chapter).exists()
