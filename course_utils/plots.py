"""Static figures: one palette, and one colour and line style for each learner everywhere."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# Okabe and Ito's palette, which colour-blind readers tell apart
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PINK = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#888888"

STYLES = {  # learner -> colour, line style
    "MAML": (BLUE, "-"),
    "FOMAML": (SKY, "--"),
    "Reptile": (GREEN, "-."),
    "ANIL": (PINK, (0, (5, 1))),
    "MetaSGD": (RED, (0, (3, 1, 1, 1))),
    "FineTune": (ORANGE, "--"),
    "FromScratch": (GREY, ":"),
    "FromScratchAdam": (GREY, ":"),
    "ProtoNet": (BLUE, "-"),
    "MatchingNet": (PINK, (0, (5, 1))),
    "RelationNet": (GREEN, "-."),
    "NearestCentroid": (ORANGE, "--"),
    "LinearHead": (RED, (0, (3, 1, 1, 1))),
    "pixels": (GREY, ":"),
    "TanimotoGP": (BLUE, "-"),
    "RidgeHead": (PINK, (0, (5, 1))),
    "PriorLogistic": (RED, "-."),
    "logistic regression": (BLACK, "--"),
    "random forest": (ORANGE, (0, (3, 1, 1, 1))),
    "TanimotoNeighbor": (GREY, ":"),
    "NGram": (BLACK, ":"),
    "NGram + FineTune": (PINK, "-."),
    "NGram + FOMAML": (RED, "-"),
    "NearestPoint": (GREEN, (0, (4, 2, 1, 2))),
    "BayesOptimalSinusoid": (BLACK, (0, (1, 1))),
    "InContext": (GREEN, "-"),
    "RidgeOnWaves": (RED, "--"),
    "LearnedOptimizer": (BLUE, "-"),
    "Adam": (ORANGE, "--"),
    "SGD": (GREY, ":"),
    "RecomputingMAML": (BLACK, "--"),
    "ImplicitMAML": (RED, "-."),
    "RandomFeatures": (GREY, "-."),
    "LinearProbe": (ORANGE, ":"),
    "FrozenFeatures": (ORANGE, "-."),
    "MultiHead": (RED, "-"),
    "MAMLPolicy": (BLUE, "-"),
    "ContextPolicy": (PINK, (0, (5, 1))),
    "JointPolicy": (ORANGE, "--"),
    "Trilateration": (GREEN, "-."),
    "ToldGoal": (BLACK, (0, (1, 1))),
    "Recurrent": (PINK, (0, (5, 1))),
    "Unadapted": (ORANGE, ":"),
    "ToldGains": (BLACK, (0, (1, 1))),
    "Simulator": (GREY, "-"),
    "Intact": (RED, ":"),
    "RandomArm": (GREY, ":"),
    "UCB1": (ORANGE, "-."),
    "ThompsonSampling": (GREEN, "--"),
    "Greedy": (PINK, (0, (4, 1, 1, 1))),
    "EpsilonGreedy": (PINK, "-."),
    "GittinsIndex": (SKY, (0, (3, 1, 1, 1))),
    "RL2": (BLACK, "-"),
    "LearnedIndex": (SKY, "-"),
    "BayesOptimalBandit": (BLACK, (0, (1, 1))),
}
LABELS = {
    "MetaSGD": "Meta-SGD",
    "FineTune": "joint training + fine-tuning",
    "FromScratch": "from scratch",
    "FromScratchAdam": "from scratch",
    "NearestCentroid": "classifier + nearest centroid",
    "LinearHead": "classifier + linear head",
    "pixels": "nearest centroid on pixels",
    "TanimotoGP": "Gaussian process",
    "RidgeHead": "ridge head",
    "PriorLogistic": "logistic regression + prior",
    "untrained GP": "Gaussian process, untrained",
    "TanimotoNeighbor": "most similar molecule",
    "NGram": "n-gram",
    "NGram + FineTune": "n-gram and joint + fine-tuning",
    "NGram + FOMAML": "n-gram and FOMAML",
    "NearestPoint": "nearest point",
    "BayesOptimalSinusoid": "Bayes optimum",
    "InContext": "transformer, in context",
    "RidgeOnWaves": "ridge on sin x and cos x",
    "LearnedOptimizer": "learned optimiser",
    "RecomputingMAML": "MAML, recomputing",
    "ImplicitMAML": "implicit MAML",
    "RandomFeatures": "random features, ridge",
    "LinearProbe": "joint training, linear probe",
    "FrozenFeatures": "joint training, frozen, ridge",
    "MultiHead": "separate heads, frozen, ridge",
    "MAMLPolicy": "MAML",
    "ContextPolicy": "context vector",
    "JointPolicy": "joint training + fine-tuning",
    "Trilateration": "trilateration",
    "ToldGoal": "told the goal",
    "Recurrent": "recurrent memory",
    "Unadapted": "joint training, not adapted",
    "ToldGains": "told the gains",
    "Simulator": "the simulation itself",
    "Intact": "believes itself intact",
    "RandomArm": "random arm",
    "ThompsonSampling": "Thompson sampling",
    "Greedy": "greedy",
    "EpsilonGreedy": "ε-greedy",
    "GittinsIndex": "Gittins index",
    "RL2": "RL²",
    "LearnedIndex": "learned index",
    "BayesOptimalBandit": "Bayes optimum",
}


def style(learner: object) -> dict:
    """Keyword arguments for `plot` that draw a learner (or its class's name) as everywhere else."""
    name = learner if isinstance(learner, str) else type(learner).__name__
    color, linestyle = STYLES.get(name, (GREY, "-"))
    return {"color": color, "linestyle": linestyle, "label": LABELS.get(name, name)}


def axes(xlabel: str, ylabel: str, width: float = 6.0, height: float = 3.6, **kwargs) -> Axes:
    """New labelled axes on a white ground, so that they read in the dark theme as well."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained", facecolor="white")
    ax.set(xlabel=xlabel, ylabel=ylabel, **kwargs)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def curve_with_interval(ax: Axes, x: Sequence[float], results: Sequence, learner: object) -> None:
    """The means of test results (`training.Result`) over x, with their 95 % intervals as a band."""
    drawn = style(learner)
    low, high = zip(*(r.interval for r in results), strict=True)
    ax.plot(x, [r.mean for r in results], marker="o", markersize=4, **drawn)
    ax.fill_between(x, low, high, color=drawn["color"], alpha=0.15, linewidth=0)


def points_with_intervals(ax: Axes, rows: Mapping[object, Sequence]) -> None:
    """For each learner a row of test results, with 95 % intervals, side by side at x = 0, 1, ..."""
    for i, (learner, results) in enumerate(rows.items()):
        drawn = style(learner)
        means = [r.mean for r in results]
        low, high = zip(*(r.interval for r in results), strict=True)
        x = [j + 0.16 * (i - (len(rows) - 1) / 2) for j in range(len(results))]
        ax.vlines(x, low, high, color=drawn["color"])
        ax.plot(x, means, "osD^v"[i], color=drawn["color"], label=drawn["label"])


def plain_ticks(ax: Axes, x: Sequence[float] = (), y: Sequence[float] = ()) -> None:
    """Ticks at these places only, written as plain numbers: for logarithmic axes."""
    for axis, places in ((ax.xaxis, x), (ax.yaxis, y)):
        if len(places):
            axis.set_ticks(places, [f"{p:g}" for p in places])
            axis.set_ticks([], minor=True)
