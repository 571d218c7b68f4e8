"""Where the administration socket lies: beside the files when its path is short enough for the operating system."""

import hashlib
import os
import tempfile
from pathlib import Path

from hanse.core.errors import ConfigurationError

_MAX_PATH_BYTES = 103
"""`sun_path` holds 104 bytes on macOS and 108 on Linux (unix(7)), a closing zero included."""


def admin_socket(folder: Path) -> Path:
    """The path for Envoy's socket in `folder`; if that is too long, in a private folder of this user under the
    temporary one. Always the same for the same folder, so that a later life finds an Envoy that an earlier one left.

    Raises:
        ConfigurationError: the private folder belongs to somebody else.
    """
    path = folder.absolute() / "admin.sock"
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    private = Path(tempfile.gettempdir()) / f"hanse-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    status = private.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigurationError(f"{private} must be a folder that only you can open; remove it")
    return private / f"{digest}.sock"
