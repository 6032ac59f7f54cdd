"""Omniglot: letters of 50 alphabets, each drawn by 20 people (Lake et al. 2015)."""

import hashlib
import io
import os
import urllib.request
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from course_utils.tasks.base import Tasks, TaskSet, check_counts
from course_utils.tasks.characters import Classes, as_tasks
from course_utils.tasks.prepare import prepare_all

SOURCE = "https://github.com/brendenlake/omniglot/raw/master/python"
MD5 = {  # split -> checksum of images_SPLIT.zip; of the large two, the ones torchvision checks too
    "background_small1": "e704a628b5459e08445c13499850abc4",
    "background": "68d2efa1b9178cc56df9314c21c6e718",
    "evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
DRAWERS = 20


class Omniglot(TaskSet):
    """Few-shot tasks of real handwriting, in the form of `Characters`; every drawing `prepare`d.

    `split` names the archive: "background_small1" (5 alphabets), "background" (30) or "evaluation"
    (20). `root` is the folder where its zip lies (or torchvision's, which holds omniglot-py);
    None: the folder that the environment variable COURSE_OMNIGLOT names. The zip is read as it is.
    Each example of a class is by another drawer, the first of all classes by the same and so on,
    so `shots` + `queries` is at most 20. `download=True` fetches an archive that is missing.

    Raises FileNotFoundError for a missing archive, ValueError for a damaged one, an unknown split,
    too many ways or too many examples.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        split: str = "background_small1",
        ways: int = 5,
        shots: int = 1,
        queries: int = 15,
        within_script: bool | float = False,
        download: bool = False,
    ):
        check_counts(ways=ways, shots=shots, queries=queries)
        if split not in MD5:
            raise ValueError(f"split must be one of {', '.join(MD5)}, got {split!r}")
        if shots + queries > DRAWERS:
            raise ValueError(
                f"{shots} shots and {queries} queries need {shots + queries} drawings of a letter,"
                f" but Omniglot has {DRAWERS} of each"
            )
        self.root, self.split, self.ways, self.shots = root, split, ways, shots
        self.queries, self.within_script, self.download = queries, within_script, download
        path = archive(root, split, download)
        drawings = read(path, split, path.stat().st_mtime_ns)
        self.scripts = list(drawings)
        counts = [len(x) for x in drawings.values()]
        self.classes = Classes(counts, ways, within_script, self.scripts)
        self.drawings = torch.cat(list(drawings.values()))  # (classes, 20, 1, 28, 28)

    @property
    def script(self) -> Tensor:
        """The alphabet's number, in `scripts`, of each class."""
        return self.classes.script

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        check_counts(num_tasks=num_tasks)
        device = generator.device if generator else torch.device("cpu")
        chosen, unit = self.classes.choose(num_tasks, generator, device)  # (T, ways)
        lots = torch.rand(num_tasks, DRAWERS, generator=generator, device=device)
        drawers = lots.topk(self.shots + self.queries).indices  # (T, examples)
        x = self.drawings.to(device)[chosen.unsqueeze(2), drawers.unsqueeze(1)]
        return as_tasks(x, self.shots, unit)


def archive(root: str | Path | None, split: str, download: bool = False) -> Path:
    """The archive's path, its checksum right."""
    root = root or os.environ.get("COURSE_OMNIGLOT")
    name = f"images_{split}.zip"
    if not root:
        raise FileNotFoundError(
            f"where is Omniglot? Download {SOURCE}/{name} and name its folder, as root or in the"
            " environment variable COURSE_OMNIGLOT; or give a root and download=True"
        )
    root = Path(root).expanduser()
    places = [root / name, root / "omniglot-py" / name]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        if not download:
            raise FileNotFoundError(
                f"{name} is not in {root}: download it from {SOURCE}/{name}, or say download=True"
            )
        path = places[0]
        fetch(f"{SOURCE}/{name}", path, MD5[split])
    elif (found := md5(path)) != MD5[split]:
        raise ValueError(
            f"{path} is damaged (its MD5 is {found}, not {MD5[split]}): delete it and download it"
            f" anew from {SOURCE}/{name}"
        )
    return path


def fetch(url: str, path: Path, expected: str) -> None:
    """Download a file; it appears under its name when it is whole and its checksum right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            with urllib.request.urlopen(url, timeout=60) as response, open(partial, "wb") as file:
                while block := response.read(1 << 20):
                    file.write(block)
        except OSError as error:
            raise ConnectionError(
                f"{url} could not be downloaded ({error}): try again, or fetch it by other means"
                f" and put it into {path.parent}"
            ) from error
        if (found := md5(partial)) != expected:
            raise ValueError(f"what came from {url} is not Omniglot (MD5 {found}): try again")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def md5(path: Path) -> str:
    """A file's checksum, as its publisher gives it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@lru_cache(maxsize=3)
def read(path: Path, split: str, _modified: int) -> dict[str, Tensor]:
    """Alphabet -> its drawings, prepared: (characters, 20, 1, 28, 28), the drawers in order."""
    with zipfile.ZipFile(path) as file:
        names: dict[str, list[str]] = {}
        for name in sorted(n for n in file.namelist() if n.endswith(".png")):
            names.setdefault(name.split("/")[1], []).append(name)  # images_…/ALPHABET/characterNN/…
        drawings = {}
        for alphabet, members in names.items():
            prepared = prepare_all([picture(file.read(name)) for name in members])
            drawings[alphabet] = prepared.unflatten(0, (-1, DRAWERS))
    return drawings


def picture(png: bytes) -> np.ndarray:
    """A drawing (h, w) with ink 1, paper 0."""
    with Image.open(io.BytesIO(png)) as image:
        return 1 - np.asarray(image.convert("L"), np.float32) / 255
