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

    @property
    def root(self) -> Path:
        """The folder around all of them, which may not be there yet."""
        if self._local.data_dir:
            return Path(self._local.data_dir).expanduser().resolve()
        # Beside the cache and not among the system's temporary files, which many systems keep in
        # memory: a journal there would cost nothing, and no measurement would mean anything.
        return cache_folder(self._local.cache_dir)

    def make(self, server: str, around: str = "") -> Path:
        """Make one server's folder; one that is there already is used, and is not ours to remove.

        ``around``: a folder for the data of this kind of stack, which no other kind can use.

        Raises:
            MissingPartError: the cache folder cannot be written.
        """
        if self._local.data_dir:
            folder = self.root / around / server
            if folder.exists():
                return folder
            folder.mkdir(parents=True)
        else:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                folder = Path(tempfile.mkdtemp(prefix=f"{server}-data-", dir=self.root))
            except OSError as error:
                raise unusable(self.root, error) from error
        self._made.append(folder)
        return folder

    def scratch(self) -> tuple[Path, ...]:
        """Return what is to go with the servers, whatever becomes of us; a folder that stays is not among it.

        Each server's guard gets all of it: a server that has died has no guard any more, one that is to start none yet.
        """
        return () if self._local.keep_data else tuple(self._made)

    def remove(self) -> None:
        """Remove what was made, unless it is to be kept. May be called twice."""
        if not self._local.keep_data:
            for folder in self._made:
                shutil.rmtree(folder, ignore_errors=True)
            self._made.clear()
