"""A signpost: in a checkout this sub-package is the top-level `modeling/` folder, which `setup.py` installs here."""

from pathlib import Path


__path__ = [str(Path(__file__).resolve().parents[2] / "modeling")]
