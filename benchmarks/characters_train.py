"""Trains the learners of chapters 03b and 06a on drawn characters, and stores them.

    uv run python benchmarks/characters_train.py                     # all, in order
    uv run python benchmarks/characters_train.py protonet_characters # one

A run that was stopped goes on where it stood. The recipe, the same for all: Adam with decoupled
weight decay, a rate that falls to nothing, a moving average of the weights, which is what is
stored. Letters also come turned and mirrored, as letters of other scripts. First an ordinary
classifier of all training letters; then, from its weights, a ProtoNet in 20-way 1-shot tasks, three
in four from within one script; from that one's weights the others.
Everything is chosen on validation scripts; no drawing of Omniglot is ever seen in training.
"""

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils import checkpoints
from course_utils.learners import ANIL, MatchingNet, ProtoNet, RelationNet
from course_utils.networks import MLP, Conv4, ResNet
from course_utils.run import write_safely
from course_utils.tasks import Characters
from course_utils.tasks.characters import in_omniglot
from course_utils.training import test

RUNS = Path(__file__).parents[1] / "runs"  # unfinished ones
COMMAND = "uv run python benchmarks/characters_train.py"
OUTPUTS = 128
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    name: str,
    module: nn.Module,
    loss_of: Callable[[torch.Generator], Tensor],
    updates: int,
    rate: float,
    check: Callable[[nn.Module], str] | None = None,
    seed: int = 0,
) -> tuple[nn.Module, float]:
    """The moving average of `module` over its training, and the minutes that took."""
    average = copy.deepcopy(module)
    optimizer = torch.optim.AdamW(module.parameters(), rate, weight_decay=0.02, fused=True)
    generator = torch.Generator(DEVICE).manual_seed(seed)
    path, done, before = RUNS / f"{name}.safetensors", 0, 0.0
    if path.exists():
        done, before = resume(path, module, average, optimizer)
        generator.manual_seed(seed + done)
    started = time.perf_counter()
    for update in range(done, updates):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (update + 1) / 200) * max(0.01, 1 - update / updates)
        with torch.autocast(DEVICE.type, torch.bfloat16):
            loss = loss_of(generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        keep = min(0.998, (update + 1) / (update + 10))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), module.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        if (update + 1) % 1000 == 0:
            minutes = before + (time.perf_counter() - started) / 60
            store(path, module, average, optimizer, update + 1, minutes)
            seen = check(average) if check else ""
            print(f"{name} {update + 1} loss {loss:.3f} {seen} {minutes:.1f} min", flush=True)
    return average.eval(), before + (time.perf_counter() - started) / 60


def store(path, module, average, optimizer, update: int, minutes: float) -> None:
    tensors = {f"now.{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
    tensors = {k: v.clone().contiguous() for k, v in tensors.items()}
    write_safely(path, tensors, {"update": str(update), "minutes": str(minutes)})


def resume(path, module, average, optimizer) -> tuple[int, float]:
    from safetensors import safe_open

    with safe_open(path, "pt", device=str(DEVICE)) as file:
        note = file.metadata()
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    for prefix, target in (("now.", module), ("average.", average)):
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        target.load_state_dict(own)
    state: dict[int, dict] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, part = key.split(".")
            state.setdefault(int(index), {})[part] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return int(note["update"]), float(note["minutes"])


# --- the recipes ---------------------------------------------------------------------------------


def classifier(name: str, updates: int) -> None:
    """An ordinary classifier of all training letters, used by nearest centroid on its features."""
    torch.manual_seed(0)
    task_set = Characters("train", without=in_omniglot(), turned=True)
    classes = len(task_set.names)
    whole = nn.Sequential(ResNet(OUTPUTS), nn.Linear(OUTPUTS, classes)).to(DEVICE)

    def loss_of(generator: torch.Generator) -> Tensor:
        y = torch.randint(classes, (256,), generator=generator, device=DEVICE)
        logits = whole(task_set.draw(y, generator=generator))
        return F.cross_entropy(logits.float(), y, label_smoothing=0.1)

    average, minutes = fit(
        name, whole, loss_of, updates, 2e-3, lambda m: within(ProtoNet(m[0]), "validation", 40)
    )
    what = f"an ordinary classifier of {classes} letters, its last layer taken off"
    trained = (
        "train without Omniglot's scripts, also turned and mirrored,"
        f" {updates} updates of 256 drawings, Adam 0.002"
    )
    keep(ProtoNet(average[0]), name, what, trained, minutes)


def episodic(name: str, learner: nn.Module, tasks: Characters, each: int, updates: int, rate: float,
             what: str, start: str) -> None:  # fmt: skip
    """A learner trained in tasks, `each` an update."""
    torch.manual_seed(0)
    learner = learner.to(DEVICE)

    def loss_of(generator: torch.Generator) -> Tensor:
        return learner(tasks.sample(each, generator)).mean()

    average, minutes = fit(
        name, learner, loss_of, updates, rate, lambda m: within(m, "validation", 40)
    )
    scripts = "train without Omniglot's scripts" if tasks.without else tasks.split
    scripts += ", also turned and mirrored" if tasks.turned else ""
    trained = (
        f"{scripts}, {updates} updates of {each} {tasks.ways}-way {tasks.shots}-shot tasks,"
        f" {tasks.within_script:.0%} within one script, Adam {rate}; it started from {start}"
    )
    keep(average, name, what, trained, minutes)


def within(learner: nn.Module, split: str, num_tasks: int = 600) -> str:
    """Accuracy in 1-shot tasks within scripts, 20-way if the learner can."""
    ways = ways_of(learner)
    result = test(learner, Characters(split, ways, 1, 5, within_script=True), num_tasks=num_tasks)
    return str(result)


def ways_of(learner: nn.Module) -> int:
    """20, or the number that a learner with a fixed last layer was made for."""
    return learner.network.outputs if hasattr(learner, "network") else 20


def keep(learner: nn.Module, name: str, what: str, trained: str, minutes: float) -> None:
    ways = ways_of(learner)
    random = test(learner, Characters("test", ways, 1, 5), num_tasks=600)
    card = {
        "what": what,
        "trained on": f"{trained}, moving average of the weights, seed 0",
        "score": {
            f"test scripts, {ways}-way 1-shot": str(random),
            f"test scripts, {ways}-way 1-shot within one script": within(learner, "test"),
        },
        "minutes": round(minutes),
        "version": "0.1.0",
        "command": f"{COMMAND} {name}",
    }
    checkpoints.save(learner, name, card)
    print(name, card["score"], f"{minutes:.0f} min", flush=True)


def scaled(encoder: ResNet, tasks: Characters) -> ResNet:
    """The encoder with its last layer multiplied so that ProtoNet's loss is smallest."""
    batch = tasks.sample(20, torch.Generator(DEVICE).manual_seed(1))
    weights = {k: v.clone() for k, v in encoder[-1].state_dict().items()}

    def loss(factor: float) -> float:
        encoder[-1].load_state_dict({k: v * factor for k, v in weights.items()})
        with torch.no_grad():
            return ProtoNet(encoder)(batch).mean().item()

    loss(min((2.0**k for k in range(-8, 5)), key=loss))
    return encoder


def encoder_of(name: str) -> ResNet:
    return checkpoints.load(name).encoder.train().to(DEVICE)


def protonet_without(name: str, updates: int) -> None:
    tasks = Characters("train", 20, 1, 4, within_script=0.75, without=in_omniglot(), turned=True)
    encoder = scaled(encoder_of("classifier_characters"), tasks)
    what = "ProtoNet that has seen none of Omniglot's scripts"
    episodic(name, ProtoNet(encoder), tasks, 3, updates, 1e-3, what, "classifier_characters")


def protonet(name: str, updates: int) -> None:
    tasks = Characters("train", 20, 1, 4, within_script=0.75, turned=True)
    start = "protonet_characters_without_omniglot"
    learner = ProtoNet(encoder_of(start))
    episodic(name, learner, tasks, 3, updates, 5e-4, "ProtoNet", start)


def ceiling(name: str, updates: int) -> None:
    """One that has trained on the test letters: how well they can be known from one drawing."""
    tasks = Characters("test", 20, 1, 4, within_script=0.75)
    learner = ProtoNet(encoder_of("protonet_characters"))
    what = "ProtoNet that has seen the test letters, a ceiling"
    episodic(name, learner, tasks, 3, updates, 1e-3, what, "protonet_characters")


def matchingnet(name: str, updates: int) -> None:
    tasks = Characters("train", 20, 1, 4, within_script=0.75, turned=True)
    learner = MatchingNet(encoder_of("protonet_characters"))
    episodic(name, learner, tasks, 3, updates, 5e-4, "MatchingNet", "protonet_characters")


def relationnet(name: str, updates: int) -> None:
    tasks = Characters("train", 20, 1, 4, within_script=0.75, turned=True)
    relation = MLP(2 * OUTPUTS, 128, 1)
    learner = RelationNet(encoder_of("protonet_characters"), relation)
    episodic(name, learner, tasks, 3, updates, 1e-3, "RelationNet", "protonet_characters")


def anil(name: str, updates: int) -> None:
    tasks = Characters("train", 5, 1, 5, within_script=0.5)
    learner = ANIL(Conv4(5, filters=32), inner_lr=0.1, inner_steps=3)
    episodic(name, learner, tasks, 8, updates, 2e-3, "ANIL, 5-way", "nothing")


RECIPES = {
    "classifier_characters": (classifier, 7_500),
    "protonet_characters_without_omniglot": (protonet_without, 8_000),
    "protonet_characters": (protonet, 1_500),
    "ceiling_characters": (ceiling, 2_500),
    "matchingnet_characters": (matchingnet, 400),
    "relationnet_characters": (relationnet, 800),
    "anil_characters": (anil, 2_500),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*RECIPES, []], help="all if left out")
    parser.add_argument("--updates", type=int, help="instead of the recipe's number")
    arguments = parser.parse_args()
    for name in arguments.names or RECIPES:
        recipe, updates = RECIPES[name]
        recipe(name, arguments.updates or updates)


if __name__ == "__main__":
    main()
