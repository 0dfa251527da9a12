"""Versions of the packages that decide a result."""

from importlib.metadata import PackageNotFoundError, version


_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "peft", "tokenizers", "numpy")


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide a result."""
    versions = {}
    for name in ("vqdna-hf", *_PACKAGES):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "source checkout"
    return versions
