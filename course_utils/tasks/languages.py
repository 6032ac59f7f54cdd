"""The Universal Declaration of Human Rights in 414 languages: read a little, predict the rest."""

import csv
import gzip
import json
import math
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.environment import data_path
from course_utils.losses import IGNORE, cross_entropy
from course_utils.tasks.base import Tasks, TaskSet, check_counts

START, UNKNOWN = 0, 1
APOSTROPHES = "’‘ʼʻʹ´`ꞌ′"  # written in many ways, meant as one
ALIKE = str.maketrans(APOSTROPHES + "‐–", "'" * len(APOSTROPHES) + "--")
LETTERS = (  # what the training languages in Latin script are written with, the most frequent first
    " aienoutslkmrdhgbycpw\u0301,'jv.fz\u0308\u025b\u0300\u0254q\u0302x\u0303\u014b-\u030c\u0259"
    "\u0269\u0323\u0331\u0256\u0268\u01dd;\u0111\u0327\u0328\u028b\u0142\u031b\u028a\xf0\u028c\xf8"
    "\u0306\u030a\xe6:\u0307)(\u0326\u0131/\u0309\u027d\u0257\u0263\u0253\u032d\u0289\u0294\u0192\xfe"
)
NUMBER = {letter: i for i, letter in enumerate(LETTERS, 2)}
SYMBOLS = len(LETTERS) + 2  # with START and UNKNOWN


class Language(NamedTuple):
    """One language's document; `family` and `split` are empty where the family is not known."""

    iso: str  # ISO 639-3
    name: str
    script: str
    latitude: float
    longitude: float
    sentences: tuple[str, ...]
    family: str
    split: str


@cache
def load() -> tuple[Language, ...]:
    """All languages, in the order of their ISO 639-3 codes (made by data/languages/build.py)."""
    with open(data_path("languages", "families.csv"), encoding="utf8", newline="") as file:
        family = {row["iso"]: row for row in csv.DictReader(file)}
    with gzip.open(data_path("languages", "texts.jsonl.gz"), "rt", encoding="utf8") as file:
        rows = [json.loads(line) for line in file]
    return tuple(
        Language(
            *(row[name] for name in Language._fields[:5]),
            tuple(row["sentences"]),
            *(family[row["iso"]][name] for name in ("family", "split")),
        )
        for row in rows
    )


def find(iso: str) -> Language:
    """The language with this ISO 639-3 code; ValueError if there is none."""
    for language in load():
        if language.iso == iso:
            return language
    raise ValueError(f"no language has the code {iso!r}: see course_utils.tasks.languages.load()")


# --- text and numbers ----------------------------------------------------------------------------


def plain(text: str) -> str:
    """Lower case, accents as symbols of their own (NFD), one kind of apostrophe and of hyphen."""
    return unicodedata.normalize("NFD", text.lower()).translate(ALIKE)


@cache
def plain_sentences(language: Language) -> tuple[str, ...]:
    """A language's sentences as `plain` text."""
    return tuple(map(plain, language.sentences))


def encode(texts: Sequence[str], length: int = 100) -> tuple[Tensor, Tensor]:
    """Texts, cut at `length` symbols, as x and y: (n, length) each, int64.

    x begins with START and runs one behind y, so that y is what comes next. Symbols that are not
    in LETTERS are UNKNOWN in x and not judged in y (−100), as is the padding. ValueError for a
    text without a letter.
    """
    x = torch.full((len(texts), length), START)
    y = torch.full((len(texts), length), IGNORE)
    for i, text in enumerate(texts):
        if not text.strip():
            raise ValueError(f"sentence {i + 1} is empty: every sentence needs at least one letter")
        symbols = torch.tensor([NUMBER.get(c, UNKNOWN) for c in plain(text)[:length]])
        y[i, : len(symbols)] = torch.where(symbols == UNKNOWN, IGNORE, symbols)
        x[i, 1 : len(symbols)] = symbols[: length - 1][: len(symbols) - 1]
    return x, y


def decode(symbols: Sequence[int] | Tensor) -> str:
    """The text that these symbols (n,) spell, accents back on their letters; UNKNOWN is "�"."""
    letters = ("", "�", *LETTERS)
    return unicodedata.normalize("NFC", "".join(letters[int(s)] for s in symbols))


def bits_per_character(prediction: Tensor, y: Tensor) -> Tensor:
    """Mean of −log₂ of the probability that each symbol was given, per task: -> (T,)."""
    return cross_entropy(prediction, y) / math.log(2)


def spans(text: str, length: int) -> set[str]:
    """All stretches of `length` symbols of a plain text."""
    return {text[i : i + length] for i in range(len(text) - length + 1)}


# --- the two kinds of task -----------------------------------------------------------------------


class _FromLanguages(TaskSet):
    """Deals languages: in a batch each comes once before any comes again; `unit` says which."""

    def __init__(self, split: str, script: str | None = "Latin", families: Sequence[str] = ()):
        if split not in ("train", "validation", "test"):
            raise ValueError(f"split must be train, validation or test, got {split!r}")
        self.split, self.script, self.families = split, script, families

    @property
    def languages(self) -> list[Language]:
        """The languages dealt; a task's `unit` counts along this list."""
        return [
            x
            for x in load()
            if x.split == self.split
            and x.script == (self.script or x.script)
            and (not self.families or x.family in self.families)
        ]

    def deck(self, size: int, generator: torch.Generator | None) -> Tensor:
        """`size` numbers of languages."""
        number = len(self.languages)
        rounds = -(-size // number) if size else 0
        packs = [permuted(number, generator) for _ in range(rounds)]
        return torch.cat(packs)[:size] if packs else torch.empty(0, dtype=torch.long)


class Sentences(_FromLanguages):
    """Each task is a language: read `shots` sentences of it, then predict others letter by letter.

    x and y have shape (T, shots or queries, length): see `encode`. Query sentences that share a
    stretch of `span` symbols or more with a support sentence are left out, for the declaration
    repeats its formulas ("everyone has the right to"); None lets them in. Where a document has no
    more sentences, rows of y are −100 throughout. `split` is by language family. Of several
    `shots` each batch draws one.
    """

    def __init__(
        self,
        split: str = "train",
        shots: int | Sequence[int] = 5,
        queries: int = 10,
        length: int = 100,
        span: int | None = 20,
        families: Sequence[str] = (),
    ):
        for number in shots if isinstance(shots, Sequence) else [shots]:
            check_counts(shots=number)
        check_counts(queries=queries, length=length, span=span or 1)
        super().__init__(split, "Latin", families)
        self.shots, self.queries, self.length, self.span = shots, queries, length, span

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        check_counts(num_tasks=num_tasks)
        shots = self.shots
        if isinstance(shots, Sequence):
            shots = shots[drawn(len(shots), generator)]
        unit = self.deck(num_tasks, generator)
        chosen, languages = [], self.languages
        for u in unit.tolist():
            sentences = plain_sentences(languages[u])
            order = permuted(len(sentences), generator).tolist()
            chosen.append(self.divide([sentences[i][: self.length] for i in order], shots))
        fields = [
            torch.stack(side) if side else torch.empty(0, size, self.length, dtype=torch.long)
            for side, size in zip(
                zip(*(self.rows(*pair) for pair in chosen), strict=True) if chosen else [()] * 4,
                (shots, shots, self.queries, self.queries),
                strict=True,
            )
        ]
        device = generator.device if generator else None
        return Tasks(*fields, unit=unit).to(device or "cpu")

    def divide(self, sentences: list[str], shots: int) -> tuple[list[str], list[str]]:
        """The first `shots` sentences, and the first `queries` of the rest that share no span."""
        support, rest = sentences[:shots], sentences[shots:]
        if self.span and self.queries:
            known = set().union(*(spans(s, self.span) for s in support))
            rest = [s for s in rest if not known & spans(s, self.span)]
        return support, rest[: self.queries]

    def rows(self, support: list[str], query: list[str]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One task's four tensors, padded with rows that are not judged."""
        support_x, support_y = encode(support, self.length)
        query_x, query_y = encode(query, self.length)
        gap = (0, 0, 0, self.queries - len(query))
        pad = torch.nn.functional.pad
        return support_x, support_y, pad(query_x, gap, value=START), pad(query_y, gap, value=IGNORE)


class Snippets(_FromLanguages):
    """Each task is N languages: which of them is a snippet of `length` symbols written in?

    x has shape (T, ways·shots or ways·queries, length), y (T, ways·shots or ways·queries) with
    labels 0 .. ways − 1. Support and query snippets come from different sentences. With
    `relatives` all languages of a task are of one family.
    """

    def __init__(
        self,
        split: str = "train",
        ways: int = 5,
        shots: int = 1,
        queries: int = 5,
        length: int = 20,
        relatives: bool = False,
    ):
        check_counts(ways=ways, shots=shots, queries=queries, length=length)
        super().__init__(split)
        self.ways, self.shots, self.queries = ways, shots, queries
        self.length, self.relatives = length, relatives
        self.groups = self._groups()
        if not self.groups:
            raise ValueError(f"{ways} ways are more than there are languages to choose from")

    def _groups(self) -> list[Tensor]:
        """The languages that may meet in one task: all, or those of one family."""
        families = [x.family for x in self.languages]
        wanted = sorted(set(families)) if self.relatives else [None]
        groups = [[i for i, f in enumerate(families) if w in (None, f)] for w in wanted]
        return [torch.tensor(g) for g in groups if len(g) >= self.ways]

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        check_counts(num_tasks=num_tasks)
        each = self.shots + self.queries
        x = torch.zeros(num_tasks, self.ways, each, self.length, dtype=torch.long)
        languages = self.languages
        for t in range(num_tasks):
            group = self.groups[drawn(len(self.groups), generator)]
            members = group[permuted(len(group), generator)[: self.ways]]
            for w, member in enumerate(members.tolist()):
                x[t, w] = self.snippets(languages[member], each, generator)
        y = torch.arange(self.ways).view(1, -1, 1).expand(num_tasks, -1, each)
        parts = []
        for side in (slice(0, self.shots), slice(self.shots, each)):
            parts += [x[:, :, side].flatten(1, 2), y[:, :, side].flatten(1, 2)]
        return Tasks(*parts).to(generator.device if generator else "cpu")

    def snippets(self, language: Language, number: int, generator) -> Tensor:
        """A snippet from each of `number` sentences, from any place in it: (number, length)."""
        texts = [t for t in plain_sentences(language) if len(t) > self.length]
        if len(texts) < number:
            raise ValueError(f"{language.name} has {len(texts)} sentences, fewer than {number}")
        rows = []
        for i in permuted(len(texts), generator)[:number].tolist():
            start = drawn(len(texts[i]) - self.length, generator)
            snippet = texts[i][start : start + self.length]
            rows.append([NUMBER.get(c, UNKNOWN) for c in snippet])
        return torch.tensor(rows)


def permuted(number: int, generator: torch.Generator | None) -> Tensor:
    """0 .. number − 1 in random order, on the CPU."""
    device = generator.device if generator else None
    return torch.randperm(number, generator=generator, device=device).cpu()


def drawn(number: int, generator: torch.Generator | None) -> int:
    """One of 0 .. number − 1."""
    device = generator.device if generator else None
    return int(torch.randint(number, (1,), generator=generator, device=device))
