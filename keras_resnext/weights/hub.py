"""The Hugging Face hub: files of repositories into the library's cache, and folders back."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LOG_IN = "`hf auth login` or set HF_TOKEN to a token with access"
_RETRY = "check the connection and try again; what was received is kept"


def download(repository: str, file: str, revision: str | None = None) -> Path:
    """Return a file's path in the cache of `huggingface_hub`, downloading it if it is not there.

    The library resumes what was cut, shows its progress, and obeys `HF_HOME`, `HF_ENDPOINT`,
    `HF_TOKEN` and `HF_HUB_OFFLINE`. A revision is a branch, tag or commit.

    Raises:
        ValueError: there is no such repository, revision or file, or it is not open to this user.
        ConnectionError: it is not in the cache, and cannot be downloaded.
        OSError: it cannot be written to the cache.
    """
    from huggingface_hub import constants, hf_hub_download

    # Without network the library would try for 23 seconds, also where the file is in its cache.
    alone = not _is_known(urlsplit(constants.ENDPOINT).hostname)
    with _one_line(repository, file):
        return Path(hf_hub_download(repository, file, revision=revision, local_files_only=alone))


def _is_known(host: str | None) -> bool:
    """Whether a host's name can be resolved, or is left to a proxy."""
    try:
        return bool(getproxies() or socket.getaddrinfo(host, None))
    except OSError:
        return False


def upload(folder: Path, repository: str, *, private: bool, token: str | None) -> str:
    """Push all files of a folder, to a new repository where there is none; return its URL.

    Raises:
        ValueError: the repository's name is impossible, or not this user's to write to.
        ConnectionError: it cannot be reached.
    """
    from huggingface_hub import HfApi

    with _one_line(repository, "push"):
        api = HfApi(token=token, library_name="keras_resnext")
        url = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=url.repo_id, folder_path=folder, commit_message="Push by keras_resnext"
        )
        return str(url)


@contextmanager
def _one_line(repository: str, what: str) -> Iterator[None]:
    """Turn what the library raises, mostly over many lines, into one line that says what to do."""
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f"repository {repository!r}: expected OWNER/NAME, such as timm/resnet50")
    from huggingface_hub import constants, errors

    name, hub = f"hf://{repository}", constants.ENDPOINT
    lost = f"{name}: {what} was not transferred"
    try:
        yield
    except errors.LocalEntryNotFoundError as error:
        lost = f"{name}: {what} is not in the cache"
        if constants.HF_HUB_OFFLINE:
            raise ConnectionError(
                f"{lost}, {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set; unset it, or copy "
                "the cache of a machine that has it"
            ) from None
        reason = first_line(error.__cause__) if error.__cause__ else "its name is unknown here"
        lost += f", and {hub} cannot be reached"
        raise ConnectionError(f"{lost} ({reason}); {_RETRY}") from error
    except errors.OfflineModeIsEnabled:
        raise ConnectionError(f"{name}: HF_HUB_OFFLINE is set; unset it") from None
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        for kind, told in (
            (errors.GatedRepoError, f"is gated: accept its terms at {hub}/{repository}, {_LOG_IN}"),
            (errors.RepositoryNotFoundError, f"is not at {hub}; if it is private, {_LOG_IN}"),
            (errors.RevisionNotFoundError, "has no such revision"),
            (errors.RemoteEntryNotFoundError, f"holds no {what}; expected timm's layout: "
             "config.json beside model.safetensors"),
            (errors.HFValidationError, first_line(error)),
        ):  # fmt: skip
            if isinstance(error, kind):
                raise ValueError(f"{name} {told}") from None
        status = error.response.status_code  # type: ignore[union-attr]
        if status in (401, 403):
            raise ValueError(f"{name}: this is not allowed ({status}); {_LOG_IN}") from error
        raise ConnectionError(f"{name}: {hub} answered {status}; try again later") from error
    except (errors.HTTPError, ConnectionError, TimeoutError) as error:
        raise ConnectionError(f"{lost} ({first_line(error)}); {_RETRY}") from error
    except OSError as error:
        if error.errno is None:  # such as a file whose size is not what the hub says
            raise ConnectionError(f"{lost} ({first_line(error)}); {_RETRY}") from error
        where = error.filename or constants.HF_HUB_CACHE
        raise OSError(f"{name}: cannot write {where}: {os.strerror(error.errno)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or else its kind."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
