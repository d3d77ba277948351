"""Downloads a model from the Hugging Face hub, by an address like hf://OWNER/NAME."""

import re
from pathlib import Path

from commands.running import first_line

_ADDRESS = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)/?")
# The files of a folder that we wrote for the hub. No other files are downloaded.
_FILES = ("*.keras", "*.json", "*.txt", "*.md")


def local(path: str | Path) -> Path:
    """Returns the path itself; for an address of the hub, the folder with the downloaded files."""
    if not str(path).startswith("hf:/"):  # A Path merges the two slashes.
        return Path(path)
    address = _ADDRESS.fullmatch(str(path))
    if not address:
        raise ValueError(f"{path} is not the address of a model on the hub. Write it as hf://OWNER/NAME.")
    try:
        import huggingface_hub
    except ImportError:
        raise ImportError(f"hf://{address[1]} needs huggingface_hub: pip install -r requirements-export.txt") from None
    try:
        return Path(huggingface_hub.snapshot_download(address[1], allow_patterns=[*_FILES]))
    except Exception as error:  # The package, the connection and the disk raise exceptions of many kinds.
        raise OSError(
            f"hf://{address[1]} can't be downloaded: {first_line(error)[:300].rstrip('.')}. Check the connection and "
            "the name. A copy of the folder can be named instead: --model FOLDER."
        ) from None
