"""Where the servers keep their data: folders that go with them, or that the settings name."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pipeline.local.jars import cache_folder, unusable
from pipeline.settings import Local


class DataFolders:
    """The data folders of one stack; those that were made here are ours to remove."""

    def __init__(self, local: Local) -> None:
        """``local``: whether data are kept, and where."""
        self._local = local
        self._made: list[Path] = []

    def make(self, server: str, around: str = "") -> Path:
        """Make one server's folder; one that is there already is used, and is not ours to remove.

        ``around``: a folder for the data of this kind of stack, which no other kind can use.

        Raises:
            MissingPartError: the cache folder cannot be written.
        """
        if self._local.data_dir:
            folder = Path(self._local.data_dir).expanduser().resolve() / around / server
            if folder.exists():
                return folder
            folder.mkdir(parents=True)
        else:
            # Beside the cache and not among the system's temporary files, which many systems keep in
            # memory: a journal there would cost nothing, and no measurement would mean anything.
            cache = cache_folder(self._local.cache_dir)
            try:
                cache.mkdir(parents=True, exist_ok=True)
                folder = Path(tempfile.mkdtemp(prefix=f"{server}-data-", dir=cache))
            except OSError as error:
                raise unusable(cache, error) from error
        self._made.append(folder)
        return folder

    def scratch(self, folder: Path) -> Path | None:
        """Give ``folder`` if it is to go with its server, whatever becomes of us; None if it stays."""
        return folder if folder in self._made and not self._local.keep_data else None

    def remove(self) -> None:
        """Remove what was made, unless it is to be kept. May be called twice."""
        if not self._local.keep_data:
            for folder in self._made:
                shutil.rmtree(folder, ignore_errors=True)
            self._made.clear()
