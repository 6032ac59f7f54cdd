"""What is saved comes back ready to adapt, with its card."""

import json

import pytest
import torch
from torch import nn

from course_utils import checkpoints
from course_utils.learners import ANIL, MAML, FineTune, MetaSGD
from course_utils.networks import MLP, Conv4
from course_utils.tasks import Characters, Molecules, Sentences, Sinusoids, Tasks, TaskSet
from course_utils.tasks.bandits import Bandits
from course_utils.tasks.environments import Environments, play
from course_utils.tasks.navigation import Navigation
from course_utils.tasks.robots import INPUTS, STATE


class Numbers(TaskSet):
    """Examples of x numbers and y numbers, at random: robots without a simulation."""

    def __init__(self, x: int, y: int):
        self.x, self.y = x, y

    def sample(self, num_tasks, generator=None):
        return Tasks(*(torch.randn(num_tasks, 3, n) for n in (self.x, self.y) * 2))


# what the checkpoints with this word in their name are for
TASKS = {
    "sinusoid": Sinusoids(),
    "characters": Characters("test", ways=5, queries=1),
    "bandit": Bandits(5, 10),
    "navigation": Navigation(robots=2, horizon=5),
    "robots": Numbers(INPUTS, STATE),
    "molecules": Molecules("test", fold=4, shots=16, queries=8),
    "languages": Sentences("test", shots=2, queries=2, length=30),
}


@pytest.mark.parametrize("learner", [
    MAML(MLP(1, 8, 1), 0.02, 3, first_order=True), MetaSGD(MLP(1, 4, 4, 1)), ANIL(MLP(1, 8, 1)),
    FineTune(Conv4(5, filters=8), 0.1, 7),
], ids=lambda learner: type(learner).__name__)  # fmt: skip
def test_round_trip(learner, tmp_path):
    checkpoints.save(learner, "one", {"what": "a test"}, tmp_path)
    back = checkpoints.load("one", tmp_path)
    assert type(back) is type(learner) and not back.training
    assert (back.inner_lr, back.inner_steps) == (learner.inner_lr, learner.inner_steps)
    assert back.first_order == learner.first_order
    for (name, a), (_, b) in zip(
        learner.state_dict().items(), back.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name
    assert checkpoints.card("one", tmp_path)["what"] == "a test"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.json", "one.safetensors"]


def test_an_unknown_name_lists_what_there_is(tmp_path):
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="no checkpoint is called 'one'; there are other"):
        checkpoints.load("one", tmp_path)


def cut(weights, card):
    weights.write_bytes(weights.read_bytes()[:200])


def lost(weights, card):
    weights.unlink()


def broken(weights, card):
    card.write_text('{"what": ')


def unbuilt(weights, card):
    card.write_text('{"what": "a test"}')


def unknown(weights, card):
    card.write_text(card.read_text().replace('"MLP"', '"Perceptron"'))


def larger(weights, card):
    card.write_text(card.read_text().replace("8", "9"))


@pytest.mark.parametrize(
    "harm, why",
    [
        (cut, "SafetensorError"),
        (lost, "FileNotFoundError"),
        (broken, "JSONDecodeError"),
        (unbuilt, "KeyError: 'built'"),
        (unknown, "there is no class Perceptron in course_utils"),
        (larger, "size mismatch"),
    ],
)
def test_a_damaged_checkpoint_is_told(harm, why, tmp_path):
    checkpoints.save(MAML(MLP(1, 8, 1)), "m", {}, tmp_path)
    harm(tmp_path / "m.safetensors", tmp_path / "m.json")
    with pytest.raises(ValueError, match=r"(?s)checkpoint 'm' in .* is damaged \(.*") as caught:
        checkpoints.load("m", tmp_path)
    assert why in str(caught.value)
    assert str(caught.value).endswith("): get the course anew, or save it again")
    assert caught.value.__cause__ is not None


def test_weights_in_another_order_of_memory_are_saved_too(tmp_path):
    learner = MAML(Conv4(5, filters=8)).to(memory_format=torch.channels_last)
    checkpoints.save(learner, "one", {}, tmp_path)
    for a, b in zip(
        learner.parameters(), checkpoints.load("one", tmp_path).parameters(), strict=True
    ):
        assert torch.equal(a, b)


def test_what_could_not_be_built_again_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Sequential is no class of course_utils"):
        checkpoints.save(MAML(nn.Sequential(nn.Linear(1, 1))), "one", {}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_card_that_ships_says_where_its_weights_come_from():
    folder = checkpoints.data_path("checkpoints")
    cards = sorted(folder.glob("*.json"))
    assert cards
    for path in cards:
        card = json.loads(path.read_text(encoding="utf8"))
        assert {"what", "trained on", "score", "version", "command", "built"} <= set(card), path
        learner = checkpoints.load(path.stem)
        task_set = next((t for word, t in TASKS.items() if word in path.stem), None)
        assert task_set is not None, f"say in TASKS what {path.stem} is for"
        tasks = task_set.sample(2, torch.Generator().manual_seed(1))
        if isinstance(tasks, Environments):
            assert play(learner.adapt(tasks), tasks).isfinite().all()
            continue
        assert learner.adapt(tasks.support_x, tasks.support_y)(tasks.query_x).isfinite().all()
