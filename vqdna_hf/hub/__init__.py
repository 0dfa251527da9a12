"""The Hub: what turns a saved directory into a repository that anyone can load."""

from .remote_code import write_remote_code


__all__ = ["write_remote_code"]
