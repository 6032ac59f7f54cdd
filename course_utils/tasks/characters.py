"""Letters of the world's scripts, written afresh by a new hand for every task."""

from functools import cache

import torch
from torch import Tensor

from course_utils.tasks.base import Tasks, TaskSet, check_counts
from course_utils.tasks.handwriting import TURNS, Letters, drawn, stored, styles
from course_utils.tasks.prepare import prepare

__all__ = ["Characters", "in_omniglot", "prepare"]

SPLITS = ("train", "validation", "test")


class Characters(TaskSet):
    """Few-shot classification of letters: `ways` letters, `shots` + `queries` drawings of each.

    Every drawing is new. One drawer writes the first example of every class of a task, another
    the second, and so on. x has shape (T, ways · shots or ways · queries, 1, size, size) with ink
    1 and paper 0; y counts the classes 0 .. ways − 1, and the drawings are in the order of y.

    `split` is "train", "validation" or "test": no script is in two. `within_script=True` takes all
    letters of a task from one script, which has at least `ways` of them, and `unit` says which; a
    number between 0 and 1 does so in that share of the tasks. `without` leaves scripts out.
    `turned` makes eight scripts of each: turned by quarters, and mirrored (turned letters as new
    classes: Santoro et al. 2016, section 4.1).

    Raises ValueError for an unknown split or script, and for more ways than there are letters.
    """

    def __init__(
        self,
        split: str = "train",
        ways: int = 5,
        shots: int = 1,
        queries: int = 15,
        within_script: bool | float = False,
        size: int = 28,
        without: tuple[str, ...] = (),
        turned: bool = False,
    ):
        check_counts(ways=ways, shots=shots, queries=queries, size=size)
        check_split(split)
        _, everything = stored()
        if unknown := sorted(set(without) - set(everything)):
            raise ValueError(f"no script is called {unknown[0]!r}; there are {sorted(everything)}")
        self.split, self.ways, self.shots, self.queries = split, ways, shots, queries
        self.within_script, self.size, self.without = within_script, size, tuple(without)
        self.turned = turned
        mine = [s for s, about in everything.items() if about["split"] == split]
        mine = [s for s in mine if s not in without]
        counts = [len(everything[s]["letters"]) for s in mine]
        turns = TURNS if turned else 1
        self.scripts = [f"{s}, turn {t}" if t else s for t in range(turns) for s in mine]
        self.names = [c for s in mine for c in everything[s]["letters"]] * turns
        self.rows = torch.cat([rows_of(s) for s in mine]).repeat(turns)  # class -> row of `stored`
        self.turn = torch.arange(turns).repeat_interleave(sum(counts)) if turned else None
        self.classes = Classes(counts * turns, ways, within_script, self.scripts)

    @property
    def script(self) -> Tensor:
        """The script's number, in `scripts`, of each class."""
        return self.classes.script

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        check_counts(num_tasks=num_tasks)
        device = generator.device if generator else torch.device("cpu")
        each = self.shots + self.queries
        chosen, unit = self.classes.choose(num_tasks, generator, device)  # (T, ways)
        style = styles(num_tasks, 1, each, generator=generator, device=device)
        x = self.draw(
            chosen.unsqueeze(2).expand(-1, -1, each).flatten(),
            style.expand(-1, self.ways, -1, -1).flatten(0, 2),
            generator,
        )
        return as_tasks(x.view(num_tasks, self.ways, each, *x.shape[1:]), self.shots, unit)

    def draw(
        self,
        classes: Tensor,
        style: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Drawings (n, 1, size, size) of classes (n,), each by a drawer of its own or `style`'s."""
        device = classes.device
        if style is None:
            style = styles(len(classes), generator=generator, device=device)
        rows = self.rows.to(device)[classes]
        turn = self.turn.to(device)[classes] if self.turned else None
        return drawn(letters_on(device), rows, style, self.size, generator, turn)


class Classes:
    """Chooses the classes of each task: all from one script, or from all scripts."""

    def __init__(self, counts: list[int], ways: int, within: bool | float, scripts: list[str]):
        if not 0 <= within <= 1:
            raise ValueError(f"within_script must be True, False or a share, got {within}")
        if ways < 1:
            raise ValueError(f"ways must be 1 or more, got {ways}")
        if ways > sum(counts):
            raise ValueError(f"{ways} ways asked for, but there are only {sum(counts)} characters")
        if within and ways > max(counts):
            most = scripts[counts.index(max(counts))]
            raise ValueError(
                f"{ways} ways within a script asked for, but the largest, {most}, has only"
                f" {max(counts)} characters: ask for fewer, or for within_script=False"
            )
        self.ways, self.within = ways, float(within)
        self.counts = torch.tensor(counts)
        self.script = torch.arange(len(counts)).repeat_interleave(self.counts)
        self.first = self.counts.cumsum(0) - self.counts
        self.able = (self.counts >= ways).nonzero().squeeze(1)  # scripts with enough letters

    def choose(self, num_tasks: int, generator, device) -> tuple[Tensor, Tensor | None]:
        """Different classes for each task (T, ways); the script (T,) where it is always one."""

        def lots(*shape):
            return torch.rand(shape, generator=generator, device=device)

        def anywhere():
            return lots(num_tasks, len(self.script)).topk(self.ways).indices

        if not self.within:
            return anywhere(), None
        able, counts, first = (t.to(device) for t in (self.able, self.counts, self.first))
        unit = able[(lots(num_tasks) * len(able)).long().clamp(max=len(able) - 1)]
        lot = lots(num_tasks, int(counts.max()))
        lot = lot.masked_fill(torch.arange(lot.shape[1], device=device) >= counts[unit, None], -1.0)
        inside = lot.topk(self.ways).indices + first[unit, None]
        if self.within == 1:
            return inside, unit
        return torch.where(lots(num_tasks, 1) < self.within, inside, anywhere()), None


def as_tasks(x: Tensor, shots: int, unit: Tensor | None) -> Tasks:
    """Tasks from drawings (T, ways, shots + queries, *x)."""
    y = torch.arange(x.shape[1], device=x.device).view(1, -1, 1).expand(x.shape[:3])
    support, query = (slice(None, shots), slice(shots, None))
    return Tasks(
        x[:, :, support].flatten(1, 2),
        y[:, :, support].flatten(1, 2),
        x[:, :, query].flatten(1, 2),
        y[:, :, query].flatten(1, 2),
        unit,
    )


def in_omniglot() -> tuple[str, ...]:
    """The scripts that Omniglot contains, or next of kin to those; all are in train."""
    return tuple(name for name, about in stored()[1].items() if about["in Omniglot"])


def check_split(split: str) -> None:
    """Raise ValueError for a split that there is not."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")


def rows_of(script: str) -> Tensor:
    """Where the letters of a script are among all letters."""
    _, scripts = stored()
    before = 0
    for name, about in scripts.items():
        if name == script:
            return torch.arange(before, before + len(about["letters"]))
        before += len(about["letters"])
    raise KeyError(script)


@cache
def letters_on(device: torch.device) -> Letters:
    """All letters, on `device`."""
    return stored()[0].to(device)
