"""Small files that are written whole or not at all."""

import json
import os
from pathlib import Path


def write_file(path: Path, content: bytes):
    """Write a file under another name first, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # several processes may write the same record
    partial.write_bytes(content)
    os.replace(partial, path)


def write_json(path: Path, content: dict):
    """Write a JSON file under another name first, then rename it."""
    write_file(path, (json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path) -> dict:
    """Read a JSON file of a run."""
    return json.loads(path.read_text(encoding="utf-8"))
