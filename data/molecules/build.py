# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["numpy", "rdkit==2026.9.1"]
# ///
"""Makes molecules.npz of this folder again from the package MoleculeACE, which is only unpacked.

pip download --no-deps MoleculeACE==3.0.0
uv run data/molecules/build.py MoleculeACE-3.0.0-py3-none-any.whl
"""

import csv
import hashlib
import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
WHEEL = "c2028c9a75281eab53d3b3e7dc11cbc8ac970d008bac4a0d3927f11ac2024bdc"  # its sha256
FOLDER = "MoleculeACE/Data/benchmark_data"


def course_chemistry():
    """course_utils/tasks/chemistry.py by itself, so that building needs no torch."""
    path = HERE.parent.parent / "course_utils" / "tasks" / "chemistry.py"
    spec = importlib.util.spec_from_file_location("chemistry", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(wheel: Path) -> None:
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL:
        sys.exit(f"{wheel} is not MoleculeACE 3.0.0 as it was used")
    chemistry = course_chemistry()
    with open(HERE / "targets.csv", encoding="utf8") as file:
        files = [row["file"] for row in csv.DictReader(file)]
    number: dict[str, int] = {}  # canonical SMILES -> which molecule
    target, molecule, value = [], [], []
    with zipfile.ZipFile(wheel) as archive:
        for t, name in enumerate(files):
            text = archive.read(f"{FOLDER}/{name}.csv").decode("utf8")
            for line, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
                try:
                    smiles = chemistry.canonical(row["smiles"])
                except ValueError as error:
                    print(f"left out: {name}.csv, line {line}: {error}")
                    continue
                target.append(t)
                molecule.append(number.setdefault(smiles, len(number)))
                value.append(9 + float(row["y"]))  # y is -log10 of nanomolar; this of molar
    np.savez_compressed(
        HERE / "molecules.npz",
        smiles=np.frombuffer("\n".join(number).encode(), np.uint8),
        fingerprints=np.packbits([chemistry.fingerprint(s) for s in number], axis=1),
        descriptors=np.array([chemistry.descriptors(s) for s in number], np.float16),
        target=np.array(target, np.uint8),
        molecule=np.array(molecule, np.int32),
        value=np.array(value, np.float32),
    )
    print(f"{len(number)} molecules, {len(value)} measurements, {len(files)} targets")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
