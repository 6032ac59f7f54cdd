"""Molecules as numbers and as pictures, from their SMILES strings; needs the package rdkit."""

import html

import numpy as np

BLOCKS = (2048, 1024, 1024)  # bits of each fingerprint, in the order they stand in x
DESCRIPTORS = (
    "heavy atoms", "heteroatoms", "logP", "polar surface", "H donors", "H acceptors",
    "rotatable bonds", "rings", "aromatic rings", "fraction sp3", "charge",
)  # fmt: skip


def _parse(smiles: str):
    """rdkit's molecule of a SMILES string; ValueError, naming the string, if it is none."""
    try:
        from rdkit import Chem, rdBase
    except ImportError as error:
        raise ImportError(
            "reading a SMILES string needs rdkit: run `uv sync`, or `pip install rdkit`"
        ) from error
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise ValueError(f"{smiles!r} is no SMILES string that rdkit can read")
    return molecule


def canonical(smiles: str) -> str:
    """The one SMILES string that all spellings of a molecule share; ValueError if unparsable."""
    molecule = _parse(smiles)
    from rdkit import Chem

    return Chem.MolToSmiles(molecule)


def fingerprint(smiles: str) -> np.ndarray:
    """Which substructures a molecule has: (4096,) of 0 and 1, three fingerprints side by side.

    Circular neighbourhoods of radius 2 by kind of atom (ECFP4, Rogers and Hahn 2010), the same by
    the atoms' roles (FCFP4), and chains of four atoms (topological torsions, Nilakantan et al.
    1987), each hashed to its number of bits in BLOCKS. Raises ValueError if unparsable.
    """
    molecule = _parse(smiles)
    from rdkit.Chem import rdFingerprintGenerator as kinds

    roles = kinds.GetMorganFeatureAtomInvGen()
    makers = (
        kinds.GetMorganGenerator(radius=2, fpSize=BLOCKS[0]),
        kinds.GetMorganGenerator(radius=2, fpSize=BLOCKS[1], atomInvariantsGenerator=roles),
        kinds.GetTopologicalTorsionGenerator(fpSize=BLOCKS[2]),
    )
    return np.concatenate([maker.GetFingerprintAsNumPy(molecule) for maker in makers])


def descriptors(smiles: str) -> np.ndarray:
    """Size, greasiness and the like, in the order of DESCRIPTORS: (11,); or ValueError."""
    m = _parse(smiles)
    from rdkit import Chem
    from rdkit.Chem import Crippen
    from rdkit.Chem import rdMolDescriptors as d

    return np.array([
        m.GetNumHeavyAtoms(), d.CalcNumHeteroatoms(m), Crippen.MolLogP(m), d.CalcTPSA(m),
        d.CalcNumHBD(m), d.CalcNumHBA(m), d.CalcNumRotatableBonds(m), d.CalcNumRings(m),
        d.CalcNumAromaticRings(m), d.CalcFractionCSP3(m), Chem.GetFormalCharge(m),
    ])  # fmt: skip


def draw(smiles: str, width: int = 180, height: int = 130) -> str:
    """The structural formula as SVG; without rdkit the SMILES string in its place.

    Raises ValueError if rdkit can't read the string.
    """
    try:
        molecule = _parse(smiles)
    except ImportError:
        words = [smiles[i : i + 22] for i in range(0, min(len(smiles), 110), 22)]
        lines = "".join(
            f"<text x='4' y='{20 + 18 * i}' font-size='11' font-family='monospace'>"
            f"{html.escape(word)}</text>"
            for i, word in enumerate(words)
        )
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'>"
            f"<rect width='100%' height='100%' fill='white'/>{lines}</svg>"
        )
    from rdkit.Chem.Draw import rdMolDraw2D

    canvas = rdMolDraw2D.MolDraw2DSVG(width, height)
    canvas.drawOptions().bondLineWidth = 1.2
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule)
    canvas.FinishDrawing()
    text = canvas.GetDrawingText()
    return text[text.index("<svg") :]
