# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = [
#   "fonttools==4.60.1", "numpy==2.4.6", "pillow==13.0.0", "safetensors==0.8.0",
#   "scikit-image==0.25.2", "scipy==1.17.1",
# ]
# ///
"""Makes the files of this folder again, byte for byte, from the Debian package fonts-noto-core.

apt-get download fonts-noto-core=20201225-1
uv run data/characters/build.py fonts-noto-core_20201225-1_all.deb
"""

import collections
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter
from strokes import BOX, strokes_of

HERE = Path(__file__).parent
PACKAGE = "58f4f0bb6720f919f92096b3508e1412a0f1544424ade6c5b5bf1eb694dd64ba"  # its sha256
MOST = 120  # letters taken of a script
FEWEST = 12  # letters a script needs
ALIKE = 0.94  # cosine of two blurred letters above which they count as the same
ALIKE_CASES = 0.88  # the same for a small letter and its capital
UNITS = 3  # stored units a pixel of the 72-pixel box: coordinates are whole, -108 to 108

# no letters, no single script, or thousands of pictures
LEFT_OUT = (
    "Sans", "SansDisplay", "SansMath", "SansSymbols", "SansSymbols2", "SansSignWriting",
    "SansDuployan", "SansIndicSiyaqNumbers", "SansMayanNumerals", "SansCuneiform",
    "SansAnatolianHieroglyphs", "SansEgyptianHieroglyphs", "SansTamilSupplement", "SansArabic",
    "SansAdlamUnjoined", "SerifTangut",
)  # fmt: skip
WIDE = {  # scripts whose letters are asked for by code point, in fonts that hold several
    "Arabic": ("NaskhArabic", 0x620, 0x64B),
    "Cyrillic": ("Sans", 0x430, 0x460),
    "Greek": ("Sans", 0x391, 0x3CA),
    "Latin": ("Sans", 0x41, 0x7B),
}
# Scripts that Omniglot contains, or next of kin to those, under whatever name: never held out, and
# kept before others where letters are alike, in this order, so that leaving these scripts out
# leaves out those letters too.
IN_OMNIGLOT = (
    "Latin", "Greek", "Cyrillic", "Hebrew", "Arabic", "Devanagari", "Armenian", "Avestan",
    "Balinese", "Bengali", "CanadianAboriginal", "Coptic", "Ethiopic", "Georgian", "Glagolitic",
    "Grantha", "Gujarati", "Gurmukhi", "ImperialAramaic", "Kannada", "Malayalam", "MeeteiMayek",
    "Mongolian", "Myanmar", "NKo", "Oriya", "Phoenician", "Runic", "Samaritan", "SylotiNagri",
    "Syriac", "Tagalog", "Tibetan", "Tifinagh",
)  # fmt: skip

# drawn once by lot among the scripts that Omniglot does not contain and that have 20 letters
VALIDATION = (
    "Ahom", "Brahmi", "Carian", "CaucasianAlbanian", "Cherokee", "InscriptionalParthian", "KayahLi",
    "Khudawadi", "Limbu", "Manichaean", "Medefaidrin", "Modi", "Nabataean", "NewTaiLue", "Ogham",
    "OldHungarian", "Osmanya", "SoraSompeng", "TaiViet",
)  # fmt: skip
TEST = (
    "Bamum", "Batak", "Cham", "Dogra", "Elbasan", "Kaithi", "Kharoshthi", "Khmer",
    "NyiakengPuachueHmong", "OldNorthArabian", "OldPersian", "OldSouthArabian", "PhagsPa",
    "Soyombo", "Sundanese", "TaiTham", "Tirhuta", "Vai", "Wancho", "Yi",
)  # fmt: skip


def fonts(folder: Path) -> dict[str, Path]:
    """Script -> its font, sans before serif, in the order in which letters are compared."""
    found = {}
    for path in sorted(folder.glob("*-Regular.ttf")):
        name = re.fullmatch(r"Noto((?:Sans|Serif)\w*)-Regular", path.stem)
        if not name or name[1] in LEFT_OUT or re.search("Display|Slanted|Tifinagh.", name[1]):
            continue
        found.setdefault(re.sub("^(Sans|Serif)", "", name[1]), path)
    found.pop("", None)
    for script, (font, *_) in WIDE.items():
        found[script] = folder / f"Noto{font}-Regular.ttf"
    return {s: found[s] for s in (*IN_OMNIGLOT, *sorted(set(found) - set(IN_OMNIGLOT)))}


def letters(script: str, font: Path) -> list[str]:
    """The script's letters, at most MOST, in the order of their code points."""
    points = sorted(TTFont(font, lazy=True).getBestCmap())
    if script in WIDE:
        _, low, high = WIDE[script]
        kept = [p for p in points if low <= p < high and unicodedata.category(chr(p))[0] == "L"]
        return [chr(p) for p in kept][:MOST]
    kept = [p for p in points if p > 0x24F and unicodedata.category(chr(p)) in ("Lo", "Ll", "Lu")]
    block = [unicodedata.name(chr(p), "?") for p in kept]  # its first word names the script
    most = collections.Counter(name.split()[0] for name in block).most_common(1)
    return [
        chr(p)
        for p, name in zip(kept, block, strict=True)
        if name.split()[0] == most[0][0] and "LIGATURE" not in name
    ][:MOST]


def traced(folder: Path) -> list[tuple[str, str, list[np.ndarray]]]:
    """All letters as (script, letter, strokes)."""
    result = []
    for script, path in fonts(folder).items():
        font = ImageFont.truetype(str(path), 110, layout_engine=ImageFont.Layout.BASIC)
        found = [(script, letter, strokes_of(letter, font)) for letter in letters(script, path)]
        found = [f for f in found if f[2] is not None]
        result += found if len(found) >= FEWEST else []
    return result


def picture(strokes: list[np.ndarray], size: int, pen: int) -> np.ndarray:
    """The letter neatly drawn, (size, size) with ink 255."""
    image = Image.new("L", (4 * size, 4 * size), 0)
    draw = ImageDraw.Draw(image)
    for stroke in strokes:
        points = (stroke / BOX * 0.8 + 0.5) * 4 * size
        draw.line([tuple(p) for p in points.tolist()], fill=255, width=pen, joint="curve")
        for x, y in points[[0, -1]].tolist():
            draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=255)
    return np.array(image.resize((size, size), Image.BOX))


def without_repeats(found: list) -> tuple[list, list[str]]:
    """The letters that are not nearly the same as an earlier one, and the list of the others."""
    blurred = np.stack([gaussian_filter(picture(f[2], 28, 6) / 255, 1.2).ravel() for f in found])
    blurred /= np.linalg.norm(blurred, axis=1, keepdims=True)
    kept, removed = [], []
    for i, (script, letter, _) in enumerate(found):
        likeness = blurred[kept] @ blurred[i]
        capital = [found[k][:2] == (script, letter.upper()) for k in kept]
        if (likeness > np.where(capital, ALIKE_CASES, ALIKE)).any():
            like = found[kept[int(likeness.argmax())]]
            removed.append(f"{script},{name(letter)},{like[0]},{name(like[1])}")
        else:
            kept.append(i)
    return [found[i] for i in kept], removed


def name(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def split(script: str) -> str:
    return {script in VALIDATION: "validation", script in TEST: "test"}.get(True, "train")


def write(found: list, removed: list[str]) -> None:
    counts = collections.Counter(script for script, *_ in found)
    counts = {s: n for s, n in counts.items() if n >= FEWEST}
    removed = removed + [f"{s},{name(letter)},," for s, letter, _ in found if s not in counts]
    found = sorted((f for f in found if f[0] in counts), key=lambda f: (f[0], f[1]))
    scripts = {
        s: {
            "split": split(s),
            "in Omniglot": s in IN_OMNIGLOT,
            "letters": "".join(f[1] for f in found if f[0] == s),
        }
        for s in sorted(counts)
    }
    strokes = [stroke for *_, letter in found for stroke in letter]
    tensors = {
        "points": np.round(np.concatenate(strokes) * UNITS).astype(np.int8),
        "points_per_stroke": np.array([len(s) for s in strokes], np.uint8),
        "strokes_per_letter": np.array([len(f[2]) for f in found], np.uint8),
    }
    save_file(tensors, HERE / "strokes.safetensors")
    (HERE / "strokes.safetensors").chmod(0o644)
    text = json.dumps(scripts, indent=1, ensure_ascii=False)
    (HERE / "scripts.json").write_text(text + "\n", encoding="utf8")
    head = "removed script,removed letter,script of the letter it is like,that letter"
    (HERE / "removed.csv").write_text("\n".join([head, *removed]) + "\n", encoding="utf8")
    sheet(found, sorted(counts)).save(HERE / "sheet.png", optimize=True)
    sizes = dict(collections.Counter(about["split"] for about in scripts.values()))
    print(len(found), "letters,", len(counts), "scripts,", sizes, len(removed), "removed")


def sheet(found: list, scripts: list[str]) -> Image.Image:
    """Five letters of each script, in columns."""
    rows = []
    for script in scripts:
        own = [f[2] for f in found if f[0] == script]
        chosen = own[:: max(1, len(own) // 5)][:5]
        rows.append(np.hstack([picture(s, 34, 6) for s in chosen]))
    rows += [np.zeros_like(rows[0])] * (-len(rows) % 6)
    tall = len(rows) // 6
    columns = [np.vstack(rows[i * tall : (i + 1) * tall]) for i in range(6)]
    gap = np.zeros((columns[0].shape[0], 12), np.uint8)
    page = np.hstack([part for column in columns for part in (column, gap)][:-1])
    return Image.fromarray(255 - page).quantize(16)


def main() -> None:
    package = Path(sys.argv[1])
    if hashlib.sha256(package.read_bytes()).hexdigest() != PACKAGE:
        sys.exit(f"{package} is not fonts-noto-core 20201225-1: its checksum differs")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        found = traced(Path(folder, "usr/share/fonts/truetype/noto"))
    write(*without_repeats(found))


if __name__ == "__main__":
    main()
