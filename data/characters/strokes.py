"""A printed letter as pen strokes: thin it to its middle line, then follow that line."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.measure import approximate_polygon
from skimage.morphology import skeletonize

BOX = 72  # the long side of a letter while it is traced, in pixels
ROUND_ABOUT = np.ones((3, 3), int)  # the eight neighbours
STRAIGHT_ON = 50  # degrees; a pen goes through a crossing with no sharper turn than this


def strokes_of(letter: str, font) -> list[np.ndarray] | None:
    """The strokes of a letter, each (points, 2) with x to the right and y down, centred, long side
    72; None for dots, commas and what the font does not draw."""
    ink = drawn(letter, font)
    if ink is None:
        return None
    thin = skeletonize(ink)
    pen = 2 * float(np.median(ndimage.distance_transform_edt(ink)[thin]))  # the pen's width
    edges, nodes = graph(thin)
    edges = pruned(merged(edges, nodes, pen), pen)
    strokes = [simple(s) for s in joined(edges, pen)]
    if not strokes:
        return None
    corners = np.concatenate(strokes)
    low, high = corners.min(0), corners.max(0)
    scale = BOX / max((high - low).max(), 1)
    return [(s - (low + high) / 2) * scale for s in strokes]


def drawn(letter: str, font) -> np.ndarray | None:
    """The letter in ink (True), its long side BOX; None where it is a dot or a comma, or empty."""
    image = Image.new("L", (240, 240), 0)
    ImageDraw.Draw(image).text((120, 120), letter, font=font, fill=255, anchor="mm")
    box = image.getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) < 26:
        return None
    image = image.crop(box)
    scale = BOX / max(image.size)
    size = tuple(max(3, round(side * scale)) for side in image.size)
    return np.pad(np.array(image.resize(size, Image.BILINEAR)) > 110, 4)


def graph(thin: np.ndarray) -> tuple[list[tuple], np.ndarray]:
    """The middle line as edges (node or None, node or None, path (n, 2)), and the nodes' places.

    A node is a patch of pixels where lines meet; an edge ends in None where the pen was lifted.
    """
    neighbours = ndimage.convolve(thin.astype(int), ROUND_ABOUT, mode="constant") - 1
    meeting = thin & (neighbours > 2)
    node_at, count = ndimage.label(meeting, ROUND_ABOUT)
    nodes = np.array(ndimage.center_of_mass(meeting, node_at, range(1, count + 1)))
    nodes = nodes.reshape(count, 2)[:, ::-1]  # (row, column) -> (x, y)
    piece_at, pieces = ndimage.label(thin & ~meeting, ROUND_ABOUT)
    edges = []
    for piece in range(1, pieces + 1):
        path, closed = in_order(np.argwhere(piece_at == piece))
        ends = [None, None]
        if not closed:
            touching = [sorted(around(node_at, place)) for place in (path[0], path[-1])]
            if len(path) == 1 and len(touching[0]) > 1:
                ends = touching[0][:2]
            else:
                ends = [t[0] if t else None for t in touching]
                if len(path) == 1:
                    ends[1] = None
        path = path[:, ::-1].astype(float)
        if closed:
            path = np.concatenate([path, path[:1]])
        edges.append((*ends, path))
    return edges, nodes


def around(labels: np.ndarray, place: np.ndarray) -> set[int]:
    """The nodes that a pixel touches."""
    row, column = place
    patch = labels[row - 1 : row + 2, column - 1 : column + 2]
    return set((patch[patch > 0] - 1).tolist())


def in_order(pixels: np.ndarray) -> tuple[np.ndarray, bool]:
    """The pixels of a path (n, 2) from end to end, and whether it is closed."""
    left = {tuple(p) for p in pixels.tolist()}

    def next_to(p):  # straight neighbours before diagonal ones
        steps = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
        return [q for q in ((p[0] + a, p[1] + b) for a, b in steps) if q in left]

    ends = [p for p in sorted(left) if len(next_to(p)) < 2]
    here = ends[0] if ends else min(left)
    path = [here]
    left.discard(here)
    while nearby := next_to(here):
        here = nearby[0]
        left.discard(here)
        path.append(here)
    return np.array(path), not ends and len(path) > 4


def merged(edges: list[tuple], nodes: np.ndarray, pen: float) -> list[tuple]:
    """Nodes nearer to each other than the pen is wide become one, and lines lead straight there.

    Thinning bends lines where they meet and draws a cross as two forks.
    """
    name = np.arange(len(nodes))
    for a, b, path in edges:
        if a is not None and b is not None and len(path) + 1 < pen:
            name[name == name[b]] = name[a]
    place = {n: nodes[name == n].mean(0) for n in set(name.tolist())}
    result = []
    for a, b, path in edges:
        a, b = (None if n is None else int(name[n]) for n in (a, b))
        if a is not None and a == b and len(path) + 1 < 2 * pen:
            continue  # it lay within the merged node
        for end in (a, b):
            if end is not None and len(path) > 1:
                far = np.linalg.norm(path - place[end], axis=1) > pen / 2
                path = path[far] if far.any() else path[-1:] if end == a else path[:1]
        front = [place[a]] if a is not None else []
        back = [place[b]] if b is not None else []
        result.append((a, b, np.array([*front, *path, *back])))
    return result


def pruned(edges: list[tuple], pen: float) -> list[tuple]:
    """Without the hairs that thinning grows at corners and serifs."""

    def is_hair(a, b, path):
        return (a is None) != (b is None) and length(path) < 0.8 * pen

    return [e for e in edges if not is_hair(*e)] or edges


def joined(edges: list[tuple], pen: float) -> list[np.ndarray]:
    """Edges put together to strokes: at a node the pen goes on along the straightest way."""
    meeting: dict[int, list] = {}
    for i, (a, b, path) in enumerate(edges):
        for node, which, way in ((a, 0, path), (b, 1, path[::-1])):
            if node is not None:
                ahead = way[min(len(way) - 1, max(2, round(0.8 * pen)))] - way[0]
                meeting.setdefault(node, []).append((i, which, np.arctan2(*ahead[::-1])))
    partner: dict[tuple, tuple] = {}
    for arms in meeting.values():
        pairs = sorted(
            (bend(arms[i][2], arms[j][2]), i, j)
            for i in range(len(arms))
            for j in range(i + 1, len(arms))
        )
        taken = set()
        for turn, i, j in pairs:
            if (turn < STRAIGHT_ON or len(arms) == 2) and not taken & {i, j}:
                taken |= {i, j}
                partner[arms[i][:2]], partner[arms[j][:2]] = arms[j][:2], arms[i][:2]
    strokes, done = [], set()
    starts = [(i, w) for i in range(len(edges)) for w in (0, 1) if (i, w) not in partner]
    for start in [*starts, *((i, 0) for i in range(len(edges)))]:
        end, path = start, []
        while end is not None and end[0] not in done:
            edge, which = end
            done.add(edge)
            path.append(edges[edge][2] if which == 0 else edges[edge][2][::-1])
            end = partner.get((edge, 1 - which))
        if path:
            strokes.append(np.concatenate(path))
    return strokes


def bend(one: float, other: float) -> float:
    """By how many degrees a pen turns that comes in along one arm and leaves along the other."""
    return abs(np.degrees((one - other) % (2 * np.pi)) - 180)


def simple(path: np.ndarray) -> np.ndarray:
    """The path smoothed, with no more points than it needs; a dot becomes a very short line."""
    if length(path) < 3:
        return path.mean(0) + np.array([[-0.5, 0], [0.5, 0]])
    closed = np.linalg.norm(path[0] - path[-1]) < 1.5
    smooth = ndimage.gaussian_filter1d(path, 1.5, axis=0, mode="wrap" if closed else "nearest")
    smooth[0], smooth[-1] = (smooth[0], smooth[0]) if closed else (path[0], path[-1])
    return approximate_polygon(smooth, 0.4)


def length(path: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
