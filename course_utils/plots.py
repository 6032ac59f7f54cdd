"""Static figures: one palette, and one colour and line style for each learner everywhere."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# Okabe and Ito's palette, which colour-blind readers tell apart
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PINK = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#888888"

STYLES = {  # learner -> colour, line style
    "MAML": (BLUE, "-"),
    "FOMAML": (SKY, "--"),
    "Reptile": (GREEN, "-."),
    "ANIL": (PINK, (0, (5, 1))),
    "MetaSGD": (RED, (0, (3, 1, 1, 1))),
    "FineTune": (ORANGE, "--"),
    "FromScratch": (GREY, ":"),
    "BayesOptimalSinusoid": (BLACK, (0, (1, 1))),
}
LABELS = {
    "MetaSGD": "Meta-SGD",
    "FineTune": "joint training + fine-tuning",
    "FromScratch": "from scratch",
    "BayesOptimalSinusoid": "Bayes optimum",
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
