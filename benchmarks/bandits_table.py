"""Bandits of five arms beside the published returns (Duan et al. 2016, table 1), for chapter 02.

    uv run python benchmarks/bandits_table.py      # writes benchmarks/bandits_table.json

All play the same new bandits: 100,000 with 10 pulls, 50,000 with 100, where Duan et al. had 1,000.
As in the paper, UCB1 and ε-greedy begin with one success and one failure on every arm, and the
width and ε are the best on validation bandits. RL² is the shipped checkpoint, and other seeds where
benchmarks/bandits_train.py left them in runs/. With 10 pulls the optimum is exact; with 100 it is
not known, and the clairvoyant's return is a bound that nobody can exceed.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from course_utils import checkpoints
from course_utils.learners import RL2, MetaLearner
from course_utils.learners.audit import audit
from course_utils.learners.bandits import (
    UCB1,
    EpsilonGreedy,
    Greedy,
    RandomArm,
    ThompsonSampling,
)
from course_utils.learners.planning import BayesOptimalBandit, GittinsIndex, clairvoyant
from course_utils.tasks.bandits import BanditEnvironments, Bandits
from course_utils.tasks.environments import play

OUT = Path(__file__).with_suffix(".json")
RUNS = Path(__file__).parents[1] / "runs"
COMMAND = "uv run python benchmarks/bandits_table.py"
BANDITS = {10: 100_000, 100: 50_000}  # pulls: how many are played
AT_ONCE, PRACTICE = 10_000, 10_000
EPSILONS = (0.0, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2)
WIDTHS = (0.0, 0.01, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
PUBLISHED = {  # 10 pulls, 100 pulls
    "random": (5.0, 49.9),
    "Gittins index": (6.6, 78.3),
    "Thompson sampling": (5.7, 74.7),
    "UCB1": (6.7, 78.0),
    "ε-greedy": (6.6, 75.4),
    "greedy": (6.6, 74.8),
    "RL²": (6.7, 78.7),
}


def dealt(task_set: Bandits) -> Iterator[BanditEnvironments]:
    """The bandits that all play, some at a time."""
    for seed in range(BANDITS[task_set.pulls] // AT_ONCE):
        yield task_set.sample(AT_ONCE, torch.Generator().manual_seed(1000 + seed))


def returns(player: MetaLearner, task_set: Bandits) -> Tensor:
    """The returns of all bandits (N,)."""
    return torch.cat([play(player.adapt(e), e, seed) for seed, e in enumerate(dealt(task_set))])


def tuned(make: Callable, values: tuple[float, ...], task_set: Bandits) -> MetaLearner:
    """The player that earns most on validation bandits."""
    practice = task_set.sample(PRACTICE, torch.Generator().manual_seed(3))
    return max(map(make, values), key=lambda p: play(p.adapt(practice), practice).mean().item())


def trained(pulls: int) -> dict[int, RL2]:
    """RL² by its training seed: the shipped one, and what is in runs/."""
    name, found = f"rl2_bandit{pulls}", {}
    for seed in range(3):
        folder = RUNS if seed else checkpoints.data_path("checkpoints")
        file = f"{name}_{seed}" if seed else name
        if (folder / f"{file}.safetensors").exists():
            found[seed] = checkpoints.load(file, folder)
    return found


def players(task_set: Bandits) -> dict[str, tuple[MetaLearner, str]]:
    """Who plays, and with which setting."""
    epsilon = tuned(EpsilonGreedy, EPSILONS, task_set)
    ucb1 = tuned(lambda width: UCB1(width, prior=1.0), WIDTHS, task_set)
    made = {
        "random": (RandomArm(), ""),
        "Gittins index": (GittinsIndex(task_set), "of the pulls left"),
        "Thompson sampling": (ThompsonSampling(), ""),
        "UCB1": (ucb1, f"factor {ucb1.width}, prior 1"),
        "ε-greedy": (epsilon, f"ε = {epsilon.epsilon}"),
        "greedy": (Greedy(), ""),
    }
    for seed, learner in trained(task_set.pulls).items():
        made["RL²" if seed == 0 else f"RL², seed {seed}"] = (learner, f"training seed {seed}")
    return made


def mean_and_half(values: Tensor) -> tuple[float, float]:
    """The mean of `values` (N,) and half of its 95 % interval."""
    return values.mean().item(), 1.96 * values.std().item() / len(values) ** 0.5


def measured(pulls: int) -> dict:
    """The part of the table for so many pulls."""
    task_set, rows = Bandits(5, pulls), {}
    best = BayesOptimalBandit(task_set) if pulls == 10 else GittinsIndex(task_set)
    against = returns(best, task_set)
    for name, (player, setting) in players(task_set).items():
        started = time.perf_counter()
        earned = returns(player, task_set)
        (mean, half), (behind, unsure) = mean_and_half(earned), mean_and_half(against - earned)
        rows[name] = {
            "mean": mean, "half": half, "behind": behind, "unsure": unsure, "setting": setting,
            "seconds": round(time.perf_counter() - started, 1),
        }  # fmt: skip
        if pulls == 10:
            judged = [audit(player, best, e, seed) for seed, e in enumerate(dealt(task_set))]
            rows[name]["cost"], rows[name]["cost half"] = mean_and_half(
                torch.cat([a.cost.sum(1) for a in judged])
            )
            rows[name]["agrees"] = torch.cat([a.agrees for a in judged]).float().mean().item()
        if name in PUBLISHED:
            rows[name]["published"] = PUBLISHED[name][pulls == 100]
        print(line(name, rows[name]), flush=True)
    part = {"bandits": BANDITS[pulls], "players": rows}
    if pulls == 10:
        part["optimum"] = best.value
        check(rows["RL²"], best.value)
    else:
        bound = torch.cat([clairvoyant(e) for e in dealt(task_set)])
        part["bound"], part["bound half"] = mean_and_half(bound)
    return part


def check(rl2: dict, optimum: float) -> None:
    """What must hold of RL² with ten pulls."""
    low = rl2["mean"] - rl2["half"]
    assert low >= 0.98 * optimum, f"RL²'s lower end {low:.3f} is not within 2 % of {optimum:.3f}"
    assert rl2["behind"] + rl2["unsure"] >= 0, "nobody beats the optimum"


def line(name: str, row: dict) -> str:
    published = f"{row['published']:5.1f}" if "published" in row else "     "
    ours = f"{row['mean']:7.3f} ± {row['half']:.3f}"
    behind = f"{row['behind']:6.3f} ± {row['unsure']:.3f}"
    cost = f"{row['cost']:7.4f} {row['agrees']:7.1%}" if "cost" in row else ""
    return f"{name:18} | {published} | {ours} | {behind} | {cost:15} | {row['setting']}"


def main() -> None:
    started, table = time.perf_counter(), {"command": COMMAND, "pulls": {}}
    for pulls, number in BANDITS.items():
        print(f"\n5 arms, {pulls} pulls, {number:,} bandits, on one core; {COMMAND}")
        print(f"{'':18} | publ. | {'ours, return':15} | {'behind':14} | cost, agrees    | setting")
        table["pulls"][str(pulls)] = part = measured(pulls)
        if "optimum" in part:
            print(f"exact optimum {part['optimum']:.3f}, from which `behind` is counted")
        else:
            print(f"nobody exceeds {part['bound']:.2f} ± {part['bound half']:.2f} (clairvoyant);")
            print("`behind` is counted from the Gittins index")
    for pulls in BANDITS:
        if 0 not in trained(pulls):
            print(f"no RL² for {pulls} pulls: run benchmarks/bandits_train.py rl2_bandit{pulls}")
            continue
        card = checkpoints.card(f"rl2_bandit{pulls}")
        table["pulls"][str(pulls)]["minutes of training"] = card["minutes"]
        print(f"{card['what']}: {card['trained on']}, {card['minutes']} minutes on one core")
    OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
