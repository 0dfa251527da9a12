"""One commit that transformers is about to make, and what it lacks to be a VQDNA repository that anyone can load."""

import json
import logging
import posixpath
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from ..cards.card import EDITED, README, is_nobodys_words, render_model_card, sealed
from ..cards.facts import FACTS
from ..cards.generated import adds_tags_only, has_same_text, with_tags_of
from ..modeling.adapters_vqdna import is_vqdna_adapter
from ..modeling.repository_vqdna import AUTO_MAPS
from .remote_code import EARLIER_MODULES, module_contents, with_references
from .staging import findable_base, license_text


logger = logging.getLogger(__name__)

_LICENSE, _STATE = "LICENSE", "trainer_state.json"
_CONFIGURATIONS = (_CONFIG, _TOKENIZER, _ADAPTER) = ("config.json", "tokenizer_config.json", "adapter_config.json")


def said_if_failed(send, repo_id: str):
    """Run an upload in the background; a training goes on without it, and nobody would hear of a refusal."""
    try:
        return send()
    except Exception as error:
        logger.warning("Nothing was uploaded to %s: %s", repo_id, error)
        raise


def facts_of_training(folder: Path) -> dict[str, bytes]:
    """The state of the trainer, which stands in its newest checkpoint alone."""
    states = [path for path in folder.glob(f"checkpoint-*/{_STATE}") if path.is_file()]
    if not states or (folder / _STATE).is_file():
        return {}
    return {_STATE: max(states, key=lambda path: path.stat().st_mtime).read_bytes()}


class Push:
    """One commit with VQDNA files in it.

    Args:
        api: the client.
        operations: what transformers is going to send.
        facts: what the card is to know beside the files.
    """

    def __init__(self, api, repo_id: str, operations: list, facts: dict[str, bytes], revision, token):
        self.api, self.repo_id, self.operations, self.facts = api, repo_id, operations, facts
        self.place = {"repo_id": repo_id, "revision": revision, "token": token}
        self.added = {entry.path_in_repo: entry for entry in operations if isinstance(entry, CommitOperationAdd)}

    def completed(self) -> list:
        """The operations, with what makes them a repository that anyone can load."""
        names = {path: posixpath.basename(path) for path in self.added}
        found = {path: _as_vqdna(name, self._content(path)) for path, name in names.items() if name in _CONFIGURATIONS}
        found = {path: values for path, values in found.items() if values is not None}
        if not found:
            return self.operations
        for path, values in found.items():
            if names[path] == _ADAPTER:
                findable_base(
                    values.get("base_model_name_or_path"),
                    remedy='model.peft_config["default"].base_model_name_or_path = "OWNER/NAME", and push again',
                )
        self._add_code(found)
        if any("/" not in path for path in found):  # and not in a checkpoint's folder alone
            if _LICENSE not in self.stored | self.added.keys():
                self._add(_LICENSE, license_text().encode())
            self._choose_card()
        others = [entry for entry in self.operations if not isinstance(entry, CommitOperationAdd)]
        return [*others, *self.added.values()]

    @cached_property
    def stored(self) -> set[str]:
        """The files of the repository."""
        try:
            return set(self.api.list_repo_files(**self.place))
        except (RepositoryNotFoundError, RevisionNotFoundError):  # the commit itself says so better
            return set()

    def _content(self, path: str) -> bytes:
        with self.added[path].as_file() as file:
            return file.read()

    def _add(self, path: str, content: bytes):
        self.added[path] = CommitOperationAdd(path, content)

    def _add_code(self, found: dict[str, dict]):
        """The maps where they belong, the modules in the root, where transformers looks for them, and no others."""
        mapped = {path: with_references(values) for path, values in found.items() if not path.endswith(_ADAPTER)}
        for path, content in mapped.items():
            self._add(path, content)
        if not mapped:
            return
        for name, content in module_contents().items():
            self._add(name, content)
        for name in EARLIER_MODULES:
            self.added.pop(name, None)
        deleted = {entry.path_in_repo for entry in self.operations if isinstance(entry, CommitOperationDelete)}
        stale = sorted((EARLIER_MODULES & self.stored) - deleted)
        self.operations = [*self.operations, *map(CommitOperationDelete, stale)]

    def _choose_card(self):
        """A card that somebody wrote or edited stays, first of all the one on the Hub."""
        given = self._content(README).decode(errors="replace") if README in self.added else ""
        with TemporaryDirectory(prefix="vqdna-push-") as folder:
            theirs = self._download(README, folder).decode(errors="replace") if README in self.stored else ""
            if not is_nobodys_words(theirs):
                if README in self.added and not adds_tags_only(given, theirs):
                    del self.added[README]
                    if not is_nobodys_words(given):
                        logger.warning(EDITED, self.repo_id, self.repo_id)
            elif is_nobodys_words(given) or has_same_text(given, theirs):
                if any(name.endswith(".safetensors") for name in self.stored | self.added.keys()):
                    self._render_card(Path(folder), given)

    def _render_card(self, folder: Path, given: str):
        """The card that `vqdna card` would write, from the files sent and those there before."""
        facts = {name: self._content(name) for name in FACTS if name in self.added}
        before = {name: self._download(name, folder) for name in FACTS if name in self.stored and name not in facts}
        try:
            place = folder / "facts"
            place.mkdir()
            for name, content in (before | self.facts | facts).items():
                (place / name).write_bytes(content)
            card = with_tags_of(render_model_card(place, repo_id=self.repo_id), given)
        except Exception as error:  # the model itself is what matters, and a card can be written again
            logger.warning("No model card was written for %s: %s: %s", self.repo_id, type(error).__name__, error)
            return
        self._add(README, sealed(str(card)).encode())

    def _download(self, name: str, folder: str | Path) -> bytes:
        # subtle: not into the cache, whose `main` would then be a commit with hardly a file in it
        return Path(self.api.hf_hub_download(filename=name, local_dir=folder, **self.place)).read_bytes()


def _as_vqdna(name: str, content: bytes) -> dict | None:
    """What a configuration says, if it is one of VQDNA."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    kinds = {
        _CONFIG: lambda: values.get("model_type") in list(AUTO_MAPS),
        _TOKENIZER: lambda: values.get("tokenizer_class") == "VQDNATokenizer",
        _ADAPTER: lambda: is_vqdna_adapter(values),
    }
    return values if kinds[name]() else None
