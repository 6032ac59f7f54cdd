"""A pad to draw on in the browser, and drawings as strokes, as text and as pictures."""

import base64
import io
import json
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from PIL import Image, ImageDraw
from torch import Tensor

from course_utils.tasks.characters import prepare

HERE = Path(__file__).parent
PEN = 6.0  # width of the pen, in hundredths of the pad's side

Strokes = list[list[list[float]]]  # strokes of points [x, y], 0 .. 100 from the upper left corner


class Pad(anywidget.AnyWidget):
    """A square to draw on by mouse, pen, finger or keyboard; `strokes` follows from either side."""

    _esm = HERE / "pad.js"
    _css = HERE / "pad.css"
    strokes = traitlets.List().tag(sync=True)
    width = traitlets.Float(PEN).tag(sync=True)
    label = traitlets.Unicode(
        "Drawing pad. Arrow keys move a cross, space draws a line to it, Enter lifts the pen,"
        " Backspace takes the last stroke back."
    ).tag(sync=True)


def raster(strokes: Strokes, size: int = 112) -> np.ndarray:
    """The pad's picture of the strokes: (size, size), ink 1, paper 0, antialiased."""
    scale = 4 * size / 100
    image = Image.new("L", (4 * size, 4 * size))
    pen, r = ImageDraw.Draw(image), PEN * scale / 2
    for stroke in strokes:
        points = [(x * scale, y * scale) for x, y in stroke]
        pen.line(points, fill=255, width=round(2 * r))
        for x, y in points:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return np.asarray(image.reduce(4), dtype=np.float32) / 255


def character(strokes: Strokes) -> Tensor:
    """The strokes as learners see a character: (1, 28, 28)."""
    return prepare(raster(strokes))


def parse(text: str) -> Strokes:
    """Strokes from text: "20 20, 80 80; 80 20, 20 80" is a cross.

    Raises ValueError, naming the part, where something is no pair of numbers from 0 to 100.
    """
    strokes = []
    for part in filter(str.strip, text.split(";")):
        stroke = []
        for pair in part.split(","):
            try:
                x, y = map(float, pair.split())
            except ValueError:
                raise ValueError(f"{pair.strip()!r} should be two numbers, as in 20 80") from None
            if not (0 <= x <= 100 and 0 <= y <= 100):
                raise ValueError(f"{pair.strip()!r} should be numbers from 0 to 100")
            stroke.append([x, y])
        strokes.append(stroke)
    return strokes


def written(strokes: Strokes) -> str:
    """The strokes as text that `parse` reads."""
    return "; ".join(", ".join(f"{x:g} {y:g}" for x, y in stroke) for stroke in strokes)


def stored() -> tuple[dict[str, list[Strokes]], Strokes]:
    """Drawings that ship: two of each of four invented symbols, and one more of the last."""
    text = json.loads((HERE / "drawings.json").read_text(encoding="utf8"))
    examples = {name: list(map(parse, drawings)) for name, drawings in text["examples"].items()}
    return examples, parse(text["query"])


def data_uri(image: np.ndarray | Tensor, scale: int = 1) -> str:
    """An image (h, w), ink 1, as an address that an <img> shows black on white, enlarged."""
    pixels = 255 - np.asarray(image * 255, dtype=np.uint8)
    shape = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
