"""What the registry refuses, in the distribution specification's words ("Error Codes")."""

from __future__ import annotations

import json
from collections.abc import Mapping

from skerry import errors
from skerry.errors import SkerryError

# Kind → HTTP status and the code for errors that name none of their own in ``code_name``.
STATUSES: Mapping[type[SkerryError], tuple[int, str]] = {
    errors.InvalidInput: (400, "UNSUPPORTED"),
    errors.NotAuthenticated: (401, "UNAUTHORIZED"),
    errors.NotAllowed: (403, "DENIED"),
    errors.NotFound: (404, "NAME_UNKNOWN"),
    errors.Unsupported: (405, "UNSUPPORTED"),
    errors.PreconditionFailed: (416, "BLOB_UPLOAD_INVALID"),
    errors.TooLarge: (413, "SIZE_INVALID"),
    errors.Throttled: (429, "TOOMANYREQUESTS"),
    errors.StorageFull: (507, "UNAVAILABLE"),
    errors.Unavailable: (503, "UNAVAILABLE"),
}
SERVER_ERROR = (500, "UNKNOWN")


def refusal(error: SkerryError) -> tuple[int, bytes]:
    """The status and the body for an error."""
    status, code = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), SERVER_ERROR)
    code = str(error.fields.get("code_name") or code)
    message = str(error)
    return status, json.dumps({"errors": [{"code": code, "message": message}]}).encode("ascii")


def blob_unknown(digest: str, repository: str) -> errors.NotFound:
    return errors.NotFound(
        f"{repository} has no blob {digest}", code_name="BLOB_UNKNOWN", digest=digest, repository=repository
    )


def manifest_unknown(reference: str, repository: str) -> errors.NotFound:
    return errors.NotFound(
        f"{repository} has no manifest {reference}",
        code_name="MANIFEST_UNKNOWN",
        reference=reference,
        repository=repository,
    )


def part_unknown(digest: str, repository: str) -> errors.InvalidInput:
    """A manifest that names what is not there: the client pushes that first."""
    return errors.InvalidInput(
        f"the manifest names {digest}, which {repository} does not have",
        hint="push it first",
        code_name="MANIFEST_BLOB_UNKNOWN",
        digest=digest,
    )


def upload_unknown(upload: str) -> errors.NotFound:
    return errors.NotFound(
        "there is no such upload", hint="begin a new one", code_name="BLOB_UPLOAD_UNKNOWN", upload=upload
    )


def name_unknown(repository: str) -> errors.NotFound:
    return errors.NotFound(
        f"there is no repository {repository}", code_name="NAME_UNKNOWN", repository=repository
    )


def digest_wrong(expected: str, found: str) -> errors.InvalidInput:
    return errors.InvalidInput(
        f"the content is {found}, not {expected}", code_name="DIGEST_INVALID", digest=expected
    )
