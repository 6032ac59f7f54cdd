"""A matplotlib picture in the browser with points on it that the reader places and drags."""

import io
from collections.abc import Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

HERE = Path(__file__).parent


class Board(anywidget.AnyWidget):
    """Shows a picture and, over one of its axes, points in data coordinates.

    `points` is a list of [x, y], changed from either side. Dragging or the arrow keys move one. If
    `growing`, a click on the axes adds a point, a double click or Delete removes it.
    """

    _esm = HERE / "board.js"
    _css = HERE / "board.css"
    image = traitlets.CBytes(b"").tag(sync=True)  # PNG
    points = traitlets.List().tag(sync=True)
    limits = traitlets.List([0.0, 1.0, 0.0, 1.0]).tag(sync=True)  # x from, to; y from, to
    box = traitlets.List([0.0, 0.0, 1.0, 1.0]).tag(sync=True)  # left, top, width, height: shares
    growing = traitlets.Bool(True).tag(sync=True)
    names = traitlets.List().tag(sync=True)  # a letter on each point; none: "point 1", ...
    colors = traitlets.List().tag(sync=True)  # of each point, for CSS; none: black
    label = traitlets.Unicode("").tag(sync=True)
    ground = None  # the picture without what moves

    def show(
        self, figure: Figure, axes: Axes, moving: Sequence[Artist] = (), still: bool = False
    ) -> None:
        """Take over the figure as it is now; the points lie on `axes`.

        Artists in `moving` are drawn last, over the rest; `still` promises that nothing but these
        has changed since the last call, so that the rest need not be drawn again.
        """
        canvas = figure.canvas
        if still and self.ground is not None:
            canvas.restore_region(self.ground)
        else:
            for artist in moving:
                artist.set_animated(True)
            canvas.draw()
            self.ground = canvas.copy_from_bbox(figure.bbox)
        for artist in moving:
            artist.axes.draw_artist(artist)
        self.image = png(np.asarray(canvas.buffer_rgba()))
        place = axes.get_position()
        self.box = [place.x0, 1 - place.y1, place.width, place.height]
        self.limits = [*map(float, axes.get_xlim()), *map(float, axes.get_ylim())]


def png(pixels: np.ndarray) -> bytes:
    """Pixels (height, width, 4) as PNG, encoded for speed rather than size."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
