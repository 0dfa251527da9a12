"""`vqdna publish`: a directory, once it is shown to load for anyone, in one commit on the Hub."""

import logging
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants

# that of httpx in hub 1.x, of httpx2 in 2.x
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id

from ..arguments.publishing import PublishArguments
from ..cards.card import EDITED, README, is_nobodys_words
from ..checkpoints import resolve_checkpoint
from .remote_code import EARLIER_MODULES
from .staging import PICKLES, base_of, directory_kind, files_to_publish, stage, stage_base
from .verification import verify


logger = logging.getLogger(__name__)

# what an earlier upload may have left in a repository, where it would be read beside, or instead of, the new files
_REPLACED = (
    *("config.json", "model*.safetensors", "model.safetensors.index.json"),
    *("adapter_config.json", "adapter_model.safetensors", "onnx/*"),
    *("tokenizer_config.json", "special_tokens_map.json", "codec.safetensors", "codec_config.json"),
    *("codec_table.safetensors", "results.json"),
    *EARLIER_MODULES,
)


def publish(arguments: PublishArguments) -> dict:
    """Upload a directory as one commit, after it has loaded in fresh processes with every class.

    The directory is not changed: what belongs in a repository is copied, and gets the code for
    `trust_remote_code=True`, the licence and, if it has none, a model card.

    Returns:
        `kind`, `files` (name -> bytes), and of an upload `url` and `commit`, which are None in a dry run.

    Raises:
        ValueError: the directory cannot be published, or does not load; nothing was uploaded.
        OSError: the Hub refused or failed; says whether anything was uploaded.
    """
    directory = Path(resolve_checkpoint(arguments.directory))
    _check_repo_id(arguments.repo_id)
    kind = directory_kind(directory)
    names = files_to_publish(directory, kind)  # what is wrong with them is said before anything else is done
    base_name, base = base_of(directory, arguments.base_model) if kind == "adapter" else (None, None)
    if not arguments.dry_run:
        _check_login()
    with TemporaryDirectory(prefix="vqdna-publish-") as temporary:
        staging = Path(temporary) / "upload" / arguments.repo_id.split("/")[1]
        _report_left_out(directory, stage(directory, staging, kind, arguments.repo_id, base_name, names))
        logger.info("Loading the %s in fresh processes, with and without the package ...", kind)
        verify(staging, kind, None if base is None else stage_base(base, Path(temporary) / "base"))
        files = {name: path.stat().st_size for name, path in _files(staging).items()}
        result = {"kind": kind, "files": files, "url": None, "commit": None}
        if arguments.dry_run:
            _print_files(files)
            return result
        message = arguments.message or f"Upload of a VQDNA {kind}"
        result |= upload(staging, arguments.repo_id, message, arguments.private, arguments.revision)
    print(result["url"])
    return result


def _check_repo_id(repo_id: str):
    if repo_id.count("/") != 1:
        raise ValueError(f"{repo_id!r} is not the name of a repository. Give owner/name, for example me/my-model.")
    validate_repo_id(repo_id)


def _check_login():
    """Find out in a second, and not after minutes of loading, that nothing can be uploaded."""
    if constants.HF_HUB_OFFLINE:
        raise ValueError("HF_HUB_OFFLINE is set, so that nothing can be uploaded. Unset it, or add --dry-run.")
    try:
        HfApi().whoami()
    except (HTTPError, OSError) as error:
        raise OSError(f"{_reason(error)} Nothing was uploaded.") from error


def _report_left_out(directory: Path, names: list[str]):
    pickles = [name for name in names if name.endswith(PICKLES)]
    others = [name for name in names if name not in pickles]
    if pickles:
        logger.warning("Left out of %s, because pickles are not published: %s", directory, ", ".join(pickles))
    if others:
        logger.info("Left out of %s: %s", directory, ", ".join(others))


def _print_files(files: dict[str, int]):
    for name, size in files.items():
        print(f"{_size(size):>10s}  {name}")
    print(f"{_size(sum(files.values())):>10s}  in {len(files)} files. Nothing was uploaded (--dry-run).")


def _size(number: int) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def upload(staging: Path, repo_id: str, message: str, private: bool = False, revision: str = "main") -> dict:
    """Make the repository if there is none, and send every file of a directory in one commit.

    Files that an earlier upload of ours left there and that the directory does not have are removed by the same
    commit: weights under another name would otherwise be read instead of the new ones. A README.md that was edited on
    the Hub stays.

    Returns:
        `url` of the repository and the `commit`.

    Raises:
        OSError: the Hub refused or failed; says whether anything was uploaded.
        ValueError: the repository is public, but was to be private, or the card's metadata is refused.
    """
    api, before = HfApi(), None
    try:
        url = api.create_repo(repo_id, private=private or None, exist_ok=True)
        if private and not api.repo_info(repo_id).private:
            raise ValueError(
                f"{repo_id} exists and is public, so that --private cannot be kept. Make it private in its settings, "
                "or choose another name."
            )
        if revision != "main":
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        info = api.repo_info(repo_id, revision=revision)
        before = info.sha
        stored = {file.rfilename for file in info.siblings}
        operations = _operations(staging, stored)
        if README in stored and _is_edited(api, repo_id, before, staging / README):
            operations = [entry for entry in operations if entry.path_in_repo != README]
        # subtle: `upload_folder` makes several commits where Xet is installed, and a reader could load from between
        commit = api.create_commit(
            repo_id, operations, commit_message=message, revision=revision, parent_commit=before
        )
    except (HTTPError, OSError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else OSError
        raise kind(f"{_reason(error)} {_what_is_there(api, repo_id, revision, before)}") from error
    return {"url": str(url), "commit": commit.oid}


def _is_edited(api: HfApi, repo_id: str, revision: str, ours: Path) -> bool:
    """Whether somebody wrote or edited the card on the Hub, which then stays."""
    with TemporaryDirectory(prefix="vqdna-card-") as folder:
        path = Path(api.hf_hub_download(repo_id, README, revision=revision, local_dir=folder))
        theirs = path.read_text(encoding="utf-8", errors="replace")
    if is_nobodys_words(theirs) or theirs == ours.read_text(encoding="utf-8"):
        return False
    logger.warning(EDITED, repo_id, repo_id)
    return True


def _operations(staging: Path, stored: set[str]) -> list[CommitOperationAdd | CommitOperationDelete]:
    files = _files(staging)
    stale = [name for name in sorted(stored - set(files)) if any(fnmatch(name, pattern) for pattern in _REPLACED)]
    return [*map(CommitOperationAdd, files, files.values()), *map(CommitOperationDelete, stale)]


def _files(staging: Path) -> dict[str, Path]:
    """Every file by its name in the repository."""
    paths = sorted(path for path in staging.rglob("*") if path.is_file())
    return {path.relative_to(staging).as_posix(): path for path in paths}


def _reason(error: Exception) -> str:
    """One or two sentences about an answer or a connection: what happened, and what to do."""
    if isinstance(error, ValueError):
        return str(error)
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401 or isinstance(error, LocalTokenNotFoundError):
        return "The Hub does not know you: log in with `hf auth login`, or set HF_TOKEN to a token that may write."
    if status is None:
        return f"The connection to {constants.ENDPOINT} failed ({type(error).__name__}: {error})."
    said = error.server_message or str(error).strip().splitlines()[0]
    remedies = {
        403: "Use a token that may write there, or another owner.",
        404: "Check the name, and that your token may see the repository.",
        412: "Somebody else has changed the repository meanwhile; try again.",
    }
    remedy = remedies.get(status, "Try again later." if status >= 500 else "")
    return f"The Hub answered {status} ({said.rstrip('.')}). {remedy}".strip()


def _what_is_there(api: HfApi, repo_id: str, revision: str, before: str | None) -> str:
    """What a failure has left: a broken connection alone does not say whether the commit arrived."""
    if before is None:
        return "Nothing was uploaded."
    try:
        now = api.repo_info(repo_id, revision=revision).sha
    except (HTTPError, OSError):
        return f"It is not known whether the files arrived: look at {constants.ENDPOINT}/{repo_id}."
    if now == before:
        return f"Nothing was uploaded: {repo_id} is as it was, at {before[:8]}."
    return f"{repo_id} has a new commit, {now[:8]} after {before[:8]}, so that the upload seems to be complete."
