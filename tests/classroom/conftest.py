"""A hub with two learners on a machine of its own."""

import hub
import machine
import pytest
from learner import Learner


@pytest.fixture(scope="session")
def server():
    """A machine with the hub running, on whose network the tests are; with its passwords."""
    if absent := machine.missing():
        pytest.skip(absent)
    with machine.boot() as booted, booted.on_its_network():
        booted.passwords = hub.set_up(booted, "alice", "bob")
        yield booted


@pytest.fixture(scope="session")
def learners(server):
    """Alice and Bob, signed in, each with a server running."""
    both = [Learner("alice"), Learner("bob")]
    for learner in both:
        assert learner.sign_in(server.passwords[learner.name]) == ""
        learner.start()
    return both
