"""The half cheetah drawn from its state alone: no simulation, no graphics library."""

import io
from collections.abc import Iterator, Mapping, Sequence

import IPython.display
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.ticker import MultipleLocator
from PIL import Image

from course_utils import plots
from course_utils.tasks.robots import STEP, Record

# Gymnasium's half_cheetah.xml in the plane of x (forward) and z (up), in metres and radians: what
# a part hangs from, its hinge there, the number in the state by which it is turned, the middle of
# its capsule as seen from the hinge, the capsule's angle from upright, and half its length.
PARTS = {
    "torso": (None, (0, 0.7), 1, (0, 0), -np.pi / 2, 0.5),
    "head": ("torso", (0, 0), None, (0.6, 0.1), 0.87, 0.15),
    "bthigh": ("torso", (-0.5, 0), 2, (0.1, -0.13), -3.8, 0.145),
    "bshin": ("bthigh", (0.16, -0.25), 3, (-0.14, -0.07), -2.03, 0.15),
    "bfoot": ("bshin", (-0.28, -0.14), 4, (0.03, -0.097), -0.27, 0.094),
    "fthigh": ("torso", (0.5, 0), 5, (-0.07, -0.12), 0.52, 0.133),
    "fshin": ("fthigh", (-0.14, -0.24), 6, (0.065, -0.09), -0.6, 0.106),
    "ffoot": ("fshin", (0.13, -0.18), 7, (0.045, -0.07), -0.6, 0.07),
}
RADIUS = 0.046  # of every capsule
DOTS, WIDEST, SHADES = 80, 560, 2  # of a film: pixels a metre, in all; tones of each colour
TRACK, TALL = 6.3, 1.2  # metres that a film shows at least


def skeleton(place: np.ndarray, state: np.ndarray) -> np.ndarray:
    """The ends (..., 8, 2, 2) of the capsules of PARTS, as x and z in metres.

    `place` (...) is how far forward the torso's middle is, `state` (..., 17) an observation. Every
    part is turned by its own angle and those of all that it hangs from.
    """
    place, state = np.asarray(place, float), np.asarray(state, float)
    root = np.stack([place, state[..., 0]], -1)
    hinges, angles, ends = {None: root}, {None: np.zeros_like(place)}, []
    for name, (parent, hinge, number, middle, tilt, half) in PARTS.items():
        hinges[name] = hinges[parent] + turned(hinge, angles[parent])
        angles[name] = angles[parent] + (0 if number is None else state[..., number])
        center = hinges[name] + turned(middle, angles[name])
        along = half * turned((0, 1), angles[name] + tilt)
        ends.append(np.stack([center - along, center + along], -2))
    return np.stack(ends, -3)


def turned(vector: tuple[float, float], angle: np.ndarray) -> np.ndarray:
    """(x, z) turned about the axis y, as MuJoCo counts: from upright towards forward."""
    (x, z), cos, sin = vector, np.cos(angle), np.sin(angle)
    return np.stack([x * cos + z * sin, z * cos - x * sin], -1)


def outlines(ends: np.ndarray) -> np.ndarray:
    """Capsules (..., 2, 2) as polygons of 18 corners: (..., 18, 2)."""
    first, last = ends[..., 0, :], ends[..., 1, :]
    x, z = np.moveaxis(last - first, -1, 0)
    turn = np.arctan2(z, x)[..., None] + np.linspace(-np.pi / 2, np.pi / 2, 9)
    cap = RADIUS * np.stack([np.cos(turn), np.sin(turn)], -1)
    return np.concatenate([last[..., None, :] + cap, first[..., None, :] - cap], -2)


def places(walk: Record) -> np.ndarray:
    """How far the robots have come before and after every step: (T, n + 1), metres."""
    return np.pad(np.cumsum(walk.way.numpy(), 1), ((0, 0), (1, 0)))


def strobe(
    ax: Axes, walk: Record, robot: int = 0, every: int = 10, color: str = plots.BLUE
) -> None:
    """Draw one walk as a row of poses, one in `every` steps and the last, from pale to dark."""
    place = places(walk)[robot]
    shown = [*range(0, len(place) - 1, every), len(place) - 1]
    bodies = outlines(skeleton(place[shown], walk.state[robot][shown]))
    for share, body in zip(np.linspace(0.15, 1, len(shown)), bodies, strict=True):
        ax.add_collection(PolyCollection(body, zorder=2 + share, **ink(color, share)))
    ground(ax, *edges(bodies))


def ink(color: str, share: float = 1.0) -> dict:
    """How a body is filled: `share` of the colour, the rest white, an edge around each part."""
    return {
        "facecolor": share * np.array(to_rgb(color)) + 1 - share,
        "edgecolor": "white",
        "linewidth": 0.5,
    }


def edges(bodies: np.ndarray) -> tuple[float, float, float]:
    """Where a picture of these outlines (..., 2) has to begin and end, and how high it must be."""
    x, z = bodies.reshape(-1, 2).T
    return x.min() - 0.1, x.max() + 0.1, max(z.max() + 0.1, TALL)


def ground(ax: Axes, left: float, right: float, top: float) -> None:
    """Empty ground with a mark at each metre; dotted, where the middle of the torso begins."""
    ax.set(xlim=(left, right), ylim=(-0.08, top), aspect="equal", yticks=[])
    ax.xaxis.set_major_locator(MultipleLocator(1))
    ax.axhline(0, color=plots.BLACK, lw=1, zorder=1)
    ax.axvline(0, color=plots.GREY, lw=1, ls=":", zorder=1)
    ax.spines[["top", "right", "left", "bottom"]].set_visible(False)
    ax.set_xlabel("metres forward")


def film(walks: Mapping[object, Record], robot: int = 0, every: int = 2) -> IPython.display.Image:
    """The walks of one robot side by side, learner -> walk, as a film that plays in a notebook.

    One row for each, its look that of `plots.style`; one frame for `every` steps, as fast as the
    robot itself. It is an animated PNG, which moves wherever a notebook is shown. All walks must
    have the same number of steps, else ValueError.
    """
    if len({w.way.shape[1] for w in walks.values()}) != 1:
        raise ValueError("a film needs walks, all with the same number of steps")
    frames = [Image.fromarray(f[..., :3]) for f in pictures(walks, robot, every)]
    colors = palette([plots.BLACK, *(plots.style(key)["color"] for key in walks)])
    frames = [f.quantize(palette=colors, dither=Image.Dither.NONE) for f in frames]
    pause = [int(1000 * STEP * every)] * (len(frames) - 1) + [2000]  # milliseconds
    file = io.BytesIO()
    setting = {"save_all": True, "append_images": frames[1:], "optimize": True, "loop": 0}
    frames[0].save(file, "PNG", duration=pause, **setting)
    ends = (f"{plots.style(k)['label']} {metres(places(w)[robot, -1])}" for k, w in walks.items())
    told = "A film of a half cheetah, and how far it comes: " + "; ".join(ends)
    return IPython.display.Image(file.getvalue(), format="png", alt=told)


def metres(way: float) -> str:
    """A distance to a tenth of a metre, without a sign where that is zero."""
    return f"{round(float(way), 1) + 0.0:.1f} m"


def palette(colors: Sequence[str]) -> Image.Image:
    """White, and `SHADES` tones of each colour, for Pillow's `quantize`."""
    shares = np.linspace(0, 1, SHADES + 1)[1:]
    tones = [share * np.array(to_rgb(c)) + 1 - share for c in colors for share in shares]
    image = Image.new("P", (1, 1))
    image.putpalette([255, 255, 255, *(255 * np.concatenate(tones)).round().astype(int).tolist()])
    return image


def pictures(walks: Mapping[object, Record], robot: int, every: int) -> Iterator[np.ndarray]:
    """The frames of a film, one after the other: pixels (height, width, 4)."""
    way = {key: places(walk)[robot] for key, walk in walks.items()}
    bodies = {key: outlines(skeleton(way[key], walks[key].state[robot])) for key in walks}
    left, right, top = edges(np.concatenate(list(bodies.values())))
    right = max(right, left + TRACK)
    inch = min(DOTS, WIDEST / (right - left)) / 100  # for a metre
    row, foot = (top + 0.08) * inch, 0.42
    size = ((right - left) * inch, len(walks) * row + foot)
    figure = plt.figure(figsize=size, dpi=100, facecolor="white")
    plt.close(figure)  # ours to show, not pyplot's
    canvas, share, moving = FigureCanvasAgg(figure), row / size[1], []
    for i, key in enumerate(walks):
        ax = figure.add_axes((0, 1 - (i + 1) * share, 1, share))
        ground(ax, left, right, top)
        ax.tick_params(labelbottom=i == len(walks) - 1)
        look = plots.style(key)
        text = {"transform": ax.transAxes, "va": "top"}
        ax.text(0.01, 0.97, look["label"], color=look["color"], **text)
        far = ax.text(0.99, 0.97, "", ha="right", animated=True, **text)
        drawn = ax.add_collection(PolyCollection([], zorder=3, animated=True, **ink(look["color"])))
        moving.append((key, ax, drawn, far))
    canvas.draw()
    still, last = canvas.copy_from_bbox(figure.bbox), len(way[key]) - 1
    for step in [*range(0, last, every), last]:
        canvas.restore_region(still)
        for key, ax, drawn, far in moving:
            drawn.set_verts(bodies[key][step])
            far.set_text(metres(way[key][step]))
            ax.draw_artist(drawn)
            ax.draw_artist(far)
        yield np.asarray(canvas.buffer_rgba()).copy()
