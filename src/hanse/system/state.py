"""`.hanse/`: everything a running system keeps on disk, in one folder beside its topology."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hanse.core.errors import ConfigurationError

_SOCKET_PATH_MAX = 100
"""`sun_path` holds 108 bytes on Linux and 104 on macOS, the closing zero included."""


class StateFolder:
    """The layout of a system's state.

    Args:
        path: the folder, usually `<system>/.hanse`; made by `prepare`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "lock"
        self.data = path / "data"
        self.keys = path / "keys"
        self.logs = path / "logs"
        self.nats = path / "nats"
        self.envoy = path / "envoy"
        self._file = path / "state.json"

    @property
    def socket(self) -> Path:
        """The control socket. A path too long for a socket is replaced by one in the temporary folder."""
        plain = self.path / "control.sock"
        if len(os.fsencode(plain)) <= _SOCKET_PATH_MAX:
            return plain
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"hanse-{os.getuid()}" / f"{digest}.sock"

    def prepare(self) -> None:
        """Make the folders; only their owner may look inside.

        Raises:
            ConfigurationError: the folder of a replaced control socket belongs to somebody else.
        """
        for folder in (self.path, self.data, self.keys, self.logs, self.nats, self.envoy):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        where = self.socket.parent
        where.mkdir(mode=0o700, exist_ok=True)
        if where != self.path and (where.stat().st_uid != os.getuid() or where.stat().st_mode & 0o077):
            raise ConfigurationError(f"{where} must be yours alone (mode 700); remove it and try again")

    def clean(self) -> None:
        """Forget databases, messages, keys and logs. Only while the lock is held and nothing runs."""
        for folder in (self.data, self.keys, self.logs, self.nats, self.envoy):
            shutil.rmtree(folder, ignore_errors=True)
        self._file.unlink(missing_ok=True)

    def database(self, service: str) -> str:
        """The URL of a service's own database."""
        return f"sqlite:///{self.data / service}.db"

    def write(self, facts: dict[str, Any]) -> None:
        """Replace the state file at once, so that a reader sees the old or the new one."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(facts, indent=1) + "\n")
        fresh.replace(self._file)

    def read(self) -> dict[str, Any]:
        """What was last written; empty when nothing was."""
        try:
            facts = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def release(self) -> None:
        """Remove what only a running system has."""
        self.socket.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)
