"""How the service API says that something went wrong (contract.md §4.1)."""

from __future__ import annotations

from collections.abc import Mapping

from skerry import errors
from skerry.errors import SkerryError

# ``{noun}`` is what the call was about: Device, Module, Configuration or Job. First match along the kind's
# ancestors; what is not here is our own fault.
ERROR_CODES: Mapping[type[SkerryError], tuple[int, str]] = {
    errors.InvalidInput: (400, "ArgumentInvalid"),
    errors.NotAuthenticated: (401, "IotHubUnauthorizedAccess"),
    errors.NotAllowed: (403, "IotHubForbidden"),
    errors.NotFound: (404, "{noun}NotFound"),
    errors.AlreadyExists: (409, "{noun}AlreadyExists"),
    errors.PreconditionFailed: (412, "PreconditionFailed"),
    errors.TooLarge: (413, "MessageTooLarge"),
    errors.Throttled: (429, "ThrottlingException"),
    errors.Unsupported: (501, "NotImplemented"),
    errors.Unavailable: (503, "ServiceUnavailable"),
    errors.StorageFull: (503, "ServiceUnavailable"),
    errors.TimedOut: (504, "GatewayTimeout"),
}
SERVER_ERROR = (500, "ServerError")
# Azure's own spellings where the pattern does not hold.
_IRREGULAR = {"ModuleAlreadyExists": "ModuleAlreadyExistsOnDevice"}


def error_code(error: SkerryError, noun: str = "Device") -> tuple[int, str]:
    """The HTTP status and the ``iothub-errorcode`` for an error; its field ``code_name`` overrides the name.

    A NotFound with code_name ``DeviceNotOnline`` is what a method call on an absent device gets.
    """
    status, pattern = next(
        (ERROR_CODES[kind] for kind in type(error).__mro__ if kind in ERROR_CODES), SERVER_ERROR
    )
    name = pattern.format(noun=noun)
    override = error.fields.get("code_name")
    return status, override if isinstance(override, str) else _IRREGULAR.get(name, name)


def error_body(code: str, text: str, tracking_id: str, timestamp: str) -> dict[str, str]:
    """The JSON body; Node takes the code between ``ErrorCode:`` and ``;``."""
    return {
        "Message": f"ErrorCode:{code};{text}",
        "ExceptionMessage": f"Tracking ID:{tracking_id}-TimeStamp:{timestamp}",
    }
