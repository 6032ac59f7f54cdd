"""Models of damaged robots: how well they predict, and how far robots walk that plan with them.

    uv run python benchmarks/robots_table.py             # all parts
    uv run python benchmarks/robots_table.py prediction  # one of them

prediction: the mean squared error, scaled, after 16 and 64 steps on 20 test robots. control: metres
in an episode of 150 steps (7.5 s), after 64 steps of wandering. walking: the error on steps of such
an episode. imagination: how far plans were thought to lead. ceiling: control with the simulation
itself in the model's place, one seed. beyond: a second round of data, from walking; adapting anew
on the way; motors that change after half of the way. Learners come from `robots_train.py`, with
what was chosen there on validation robots, three seeds each; one whose checkpoint is missing is
trained first. Intervals (95 %) resample robots. Half an hour on one core.
"""

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from robots_train import SEEDS, SHOTS, settings_of, stored
from torch import Tensor

from course_utils.learners import MetaLearner, Predictor
from course_utils.learners.control import SPEED, Mind, ModelPredictiveControl
from course_utils.learners.robots import Simulator, ToldGains
from course_utils.losses import mean_squared_error
from course_utils.tasks import Robots
from course_utils.tasks.robots import (
    STEP,
    RobotEnvironments,
    decode_change,
    encode,
    examples,
    gains_of,
    walk,
    wander,
)
from course_utils.training import bootstrap_interval, test

OUT = Path(__file__).with_suffix(".json")
COMMAND = "uv run python benchmarks/robots_table.py"
HORIZON = 150
BODIES = 500  # the seed of the postures in which test robots begin to walk
GAINS = gains_of("test")
ADAPTIVE = ("pooled", "reptile", "fomaml", "maml", "recurrent")


def summary(runs: list) -> dict:
    """Mean over seeds and robots of scores (seeds, robots), its interval, and the median robot."""
    robots = np.mean(runs, 0)
    low, high = bootstrap_interval(robots)
    return {
        "mean": round(float(robots.mean()), 3),
        "interval": [round(low, 3), round(high, 3)],
        "median": round(float(np.median(robots)), 3),
        "seeds": [round(float(np.mean(run)), 3) for run in runs],
        "robots": [round(float(v), 3) for v in robots],
    }


def ready(name: str, seed: int, shots: int = 64) -> MetaLearner:
    """The trained learner with the settings chosen for this many steps; `unadapted`: with none."""
    learner = stored("pooled" if name == "unadapted" else name, seed)
    if name == "unadapted":
        learner.inner_steps = 0
    elif name in ADAPTIVE[:-1]:
        learner.inner_lr, learner.inner_steps = settings_of(name, seed, shots)
    return learner


# --- how well they predict -----------------------------------------------------------------------


def prediction() -> dict:
    found = {}
    for name in ("unadapted", *ADAPTIVE, "told"):
        found[name] = {}
        for shots in SHOTS:
            robots = Robots("test", shots, 64, told=name == "told")
            runs = [
                test(ready(name, seed, shots), robots, num_tasks=200, device="cpu").unit_means
                for seed in SEEDS
            ]
            found[name][shots] = summary(runs)
            print(name, shots, *(found[name][shots][k] for k in ("mean", "interval", "median")))
    return found


# --- how far they walk ---------------------------------------------------------------------------


def metres(planner: ModelPredictiveControl, seed: int, gains: Tensor = GAINS) -> Tensor:
    """How far each robot gets: (robots, steps), in metres in each step."""
    torch.manual_seed(seed)
    with RobotEnvironments(gains, HORIZON, BODIES) as robots:
        return walk(planner.adapt(robots), robots).way


def told(gains: Tensor) -> Callable[[int], MetaLearner]:
    return lambda seed: ToldGains(stored("told", seed), gains)


def control() -> dict:
    models = {"intact": told(torch.ones_like(GAINS)), "told": told(GAINS)}
    models |= {name: lambda seed, name=name: ready(name, seed) for name in ("unadapted", *ADAPTIVE)}
    found = {}
    for name, model in models.items():
        runs = [metres(ModelPredictiveControl(model(seed)), seed).sum(1) for seed in SEEDS]
        found[name] = row(name, runs)
    return found


def ceiling() -> dict:
    best = metres(ModelPredictiveControl(Simulator(GAINS)), 0).sum(1)
    return {"simulator": row("simulator", [best])}


def walking() -> dict:
    """Errors on the steps of robots that walk, all on those of the network that is told."""
    runs: dict[str, list] = {name: [] for name in ("unadapted", *ADAPTIVE, "told")}
    for seed in SEEDS:
        torch.manual_seed(seed)
        with RobotEnvironments(GAINS, HORIZON, BODIES) as robots:
            support = examples(walk(wander(), robots, 64))
            planner = ModelPredictiveControl(told(GAINS)(seed))
            x, y = examples(walk(planner.policy(*support), robots))
        for name in runs:
            model = told(GAINS)(seed) if name == "told" else ready(name, seed)
            with torch.no_grad():
                wrong = mean_squared_error(model.adapt(*support)(x), y)
            runs[name].append(wrong)
    return {name: row(name, found) for name, found in runs.items()}


def imagination() -> dict:
    """Metres in half a second, ten steps: as planned with the model, and as it then was."""
    found: dict[str, dict] = {}
    for name in ("pooled", "maml", "recurrent", "told"):
        dreamt, made = [], []
        for seed in SEEDS:
            model = told(GAINS)(seed) if name == "told" else ready(name, seed)
            planned, real = dreams(ModelPredictiveControl(model), seed)
            dreamt.append(planned)
            made.append(real)
        found[name] = {
            "planned": row(f"{name}, planned", dreamt),
            "real": row(f"{name}, real", made),
        }
    return found


def dreams(planner: ModelPredictiveControl, seed: int) -> tuple[Tensor, Tensor]:
    """The mean way that ten steps were planned to make, and that ten steps made: (robots,) each."""
    torch.manual_seed(seed)
    planned = []

    def watched(state: Tensor, mind: Mind | None) -> tuple[Tensor, Mind]:
        action, mind = policy(state, mind)
        planned.append(ahead(mind.model, state, mind.plan))
        return action, mind

    with RobotEnvironments(GAINS, HORIZON, BODIES) as robots, torch.no_grad():
        policy = planner.adapt(robots)
        way = walk(watched, robots).way
    steps = planner.horizon
    return torch.stack(planned, 1).mean(1), way.unfold(1, steps, 1).sum(2).mean(1)


def ahead(model: Predictor, state: Tensor, plan: Tensor) -> Tensor:
    """The way forward that `model` expects of a plan: (T, 17), (T, horizon, 6) -> (T,)."""
    way = torch.zeros(len(state))
    for command in plan.unbind(1):
        state = state + decode_change(model(encode(state, command).unsqueeze(1)).squeeze(1))
        way = way + STEP * state[:, SPEED]
    return way


def row(name: str, runs: list[Tensor]) -> dict:
    found = summary([run.numpy() for run in runs])
    print(name, found["mean"], found["interval"], found["seeds"], flush=True)
    return found


# --- beyond --------------------------------------------------------------------------------------

WAYS = {"once": {}, "second round": {"rounds": 2}, "on the way": {"again": 10}}


class Breaking(RobotEnvironments):
    """Robots whose gains become others after half of an episode's steps."""

    def __init__(self, gains: Tensor, later: Tensor, *more):
        self.whole, self.later = gains, later
        super().__init__(gains, *more)

    def reset(self) -> Tensor:
        self.gains = self.whole
        return super().reset()

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, bool]:
        if self.left == self.horizon // 2:
            self.gains = self.later
        return super().step(action)


def beyond() -> dict:
    found: dict[str, dict] = {"walking": {}, "breaking": {}}
    for name in ("maml", "recurrent"):
        for way, options in WAYS.items():
            label = f"{name}, {way}"
            runs = [
                metres(ModelPredictiveControl(ready(name, seed), **options), seed).sum(1)
                for seed in SEEDS
            ]
            found["walking"][label] = row(label, runs)
            if way != "second round":
                runs = [broken(ready(name, seed), seed, options) for seed in SEEDS]
                found["breaking"][label] = row(f"{label}, second half", runs)
    return found


def broken(learner: MetaLearner, seed: int, options: dict) -> Tensor:
    """Metres that robots make in the second half, after they broke: (robots,)."""
    torch.manual_seed(seed)
    later = GAINS.roll(1, 0)  # the gains of another robot
    with Breaking(GAINS, later, HORIZON, BODIES) as robots:
        policy = ModelPredictiveControl(learner, **options).adapt(robots)
        return walk(policy, robots).way[:, HORIZON // 2 :].sum(1)


PARTS = {f.__name__: f for f in (prediction, control, walking, imagination, beyond, ceiling)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all if left out")
    for part in parser.parse_args().parts or PARTS:
        found = PARTS[part]()
        table = json.loads(OUT.read_text(encoding="utf8")) if OUT.exists() else {}
        table |= {"command": COMMAND, "seeds": len(SEEDS), "robots": len(GAINS)}
        table |= {"steps": HORIZON, "device": platform.machine(), part: found}
        OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
