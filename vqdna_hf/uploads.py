"""What transformers uploads of VQDNA is completed on its way: code, `auto_map`, licence and model card.

`push_to_hub` of a model, a tokenizer, a configuration or a `PeftModel`, `save_pretrained(push_to_hub=True)` and every
upload of a `Trainer` go through one client, `transformers.utils.hub.hf_api()`. That client completes what it sends of
VQDNA, so that directories on the machine stay as they were saved, without code.
"""

import posixpath
from functools import partial
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import DEFAULT_IGNORE_PATTERNS, filter_repo_objects


# what `upload_folder` is given by a `Trainer`; what it has more is the stock client's business
_OF_A_FOLDER = {"commit_message", "commit_description", "token", "repo_type", "revision", "create_pr"}
_OF_A_FOLDER |= {"parent_commit", "allow_patterns", "ignore_patterns"}


def register_uploads(client: HfApi):
    """Let the client of transformers complete what it uploads of VQDNA; calling it again changes nothing."""
    if not isinstance(client, VQDNAUploads):
        # subtle: the class of the very object is changed, because it is shared, and others may hold it
        client.__class__ = type(f"VQDNA{type(client).__name__}", (VQDNAUploads, type(client)), {})


class VQDNAUploads:
    """The two methods of `HfApi` that transformers uploads with; whatever is not of VQDNA passes unchanged."""

    def create_commit(self, repo_id: str, operations, *, run_as_future: bool = False, **options):
        """As `HfApi.create_commit`.

        Raises:
            ValueError: an adapter names a base model that only this machine could find; nothing was uploaded.
        """
        if run_as_future:
            return self.run_as_future(partial(self.create_commit, repo_id, operations, **options))
        return super().create_commit(repo_id, self._completed(repo_id, operations, {}, options), **options)

    def upload_folder(
        self, *, repo_id: str, folder_path: str | Path, path_in_repo: str | None = None, run_as_future=False, **options
    ):
        """As `HfApi.upload_folder`, but of a VQDNA folder as one commit.

        Raises:
            ValueError: as `create_commit`.
        """
        folder, prefix = Path(folder_path).expanduser().resolve(), (path_in_repo or "").strip("/")
        ours = options.get("repo_type") in (None, "model") and set(options) <= _OF_A_FOLDER
        if not ours or not any(
            path.is_file() and _names_vqdna(path.read_bytes()) for path in folder.glob("*config.json")
        ):
            place = {"repo_id": repo_id, "folder_path": folder_path, "path_in_repo": path_in_repo}
            return super().upload_folder(**place, run_as_future=run_as_future, **options)
        from .hub.pushing import said_if_failed

        send = partial(self._send_folder, repo_id, folder, prefix, **options)
        return self.run_as_future(said_if_failed, send, repo_id) if run_as_future else send()

    def _send_folder(self, repo_id: str, folder: Path, prefix: str, allow_patterns=None, ignore_patterns=None, **rest):
        from .hub.pushing import facts_of_training

        ignored = [ignore_patterns] if isinstance(ignore_patterns, str) else list(ignore_patterns or [])
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        names = filter_repo_objects(
            names, allow_patterns=allow_patterns, ignore_patterns=[*ignored, *DEFAULT_IGNORE_PATTERNS]
        )
        operations = [CommitOperationAdd(posixpath.join(prefix, name), folder / name) for name in names]
        operations = self._completed(repo_id, operations, facts_of_training(folder), rest)
        rest["commit_message"] = rest.get("commit_message") or "Upload folder using huggingface_hub"
        return super().create_commit(repo_id, operations, **rest)

    def _completed(self, repo_id: str, operations, facts: dict[str, bytes], options: dict) -> list:
        operations = list(operations)
        if options.get("repo_type") not in (None, "model") or not any(map(_configures_vqdna, operations)):
            return operations
        # what makes cards takes a second to import, and nobody else needs it
        from .hub.pushing import Push

        return Push(self, repo_id, operations, facts, options.get("revision"), options.get("token")).completed()


def _configures_vqdna(operation) -> bool:
    """Whether what is sent may be the configuration of a VQDNA model, tokenizer or adapter."""
    if not isinstance(operation, CommitOperationAdd) or not operation.path_in_repo.endswith("config.json"):
        return False
    with operation.as_file() as file:
        return _names_vqdna(file.read())


def _names_vqdna(content: bytes) -> bool:
    return b"vqdna" in content.lower()
