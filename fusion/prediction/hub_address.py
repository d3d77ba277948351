"""Downloads what an address like hf://OWNER/NAME names on the Hugging Face hub."""

import re
from pathlib import Path

from commands.running import first_line

_ADDRESS = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)/?")
# What a folder that we wrote for the hub holds. Nothing else is downloaded.
_FILES = ("*.keras", "*.json", "*.txt", "*.md")


def local(path: str | Path) -> Path:
    """Returns the path itself, or for an address of the hub the folder that its files are downloaded to."""
    if not str(path).startswith("hf:/"):  # A Path has one slash fewer.
        return Path(path)
    address = _ADDRESS.fullmatch(str(path))
    if not address:
        raise ValueError(f"{path} is no address of a model on the hub. Write it as hf://OWNER/NAME.")
    try:
        import huggingface_hub
    except ImportError:
        raise ImportError(f"hf://{address[1]} needs huggingface_hub: pip install -r requirements-export.txt") from None
    try:
        return Path(huggingface_hub.snapshot_download(address[1], allow_patterns=[*_FILES]))
    except Exception as error:  # Of the package, of the connection under it, and of the disk.
        raise OSError(
            f"hf://{address[1]} can't be downloaded: {first_line(error)[:300].rstrip('.')}. Is there a connection, and "
            "is the name right? A copy of the folder can be named instead: --model FOLDER."
        ) from None
