"""A build's PDBs in the layout of a symbol store, where a debugger finds them by what an image asks for.

``NAME.pdb/GUID+AGE/NAME.pdb``: the key is the image's, from its debug directory (Microsoft, "SymStore:
Storing Symbols", learn.microsoft.com, windows/win32/debug/using-symstore).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.package.parts import BuildPackage, PackageFile

__all__ = ["keep_symbols", "pdb_of"]

_NAME = re.compile(r"[\w.+-]{1,120}\.pdb", re.IGNORECASE | re.ASCII)


def pdb_of(package: BuildPackage, image: PackageFile) -> PackageFile | None:
    """The file in a package that has the name an image calls its PDB by."""
    wanted = image.image.pdb.lower() if image.image is not None else ""
    by_name = (file for file in package.files if file.name.lower().rpartition("/")[2] == wanted)
    return next(by_name, None) if wanted else None


def keep_symbols(packages: tuple[BuildPackage, ...], store: Path) -> tuple[Path, ...]:
    """Copy the PDBs that belong to the packages' images into ``store``; what is there already stays.

    Copies, no links: the next build would write through a link. Gives the files, sorted.

    Raises:
        OSError: the store cannot be written.
    """
    kept = []
    for package in packages:
        for source, place in _matching(package):
            target = store / place
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                passing = target.with_name(f".{os.getpid()}.part")  # other workers copy, too
                shutil.copyfile(source, passing)
                passing.replace(target)
            kept.append(target)
    return tuple(sorted(set(kept)))


def _matching(package: BuildPackage) -> Iterator[tuple[Path, Path]]:
    """Each PDB that is its image's own, and its place in a store."""
    for file in package.files:
        pdb = pdb_of(package, file)
        if pdb is None or file.image is None or file.image.symbols not in pdb.symbols:
            continue
        if _NAME.fullmatch(file.image.pdb):
            place = Path(file.image.pdb) / file.image.symbols / file.image.pdb
            yield package.folder / pdb.name, place
