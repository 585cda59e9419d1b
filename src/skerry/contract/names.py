"""Who speaks: device ids, module ids, the identity they form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from skerry.errors import InvalidInput

# IoT Hub's bound on an id, in characters.
ID_CHARS_MAX = 128
AGENT_MODULE = "$edgeAgent"
HUB_MODULE = "$edgeHub"
SYSTEM_MODULES = frozenset({AGENT_MODULE, HUB_MODULE})
# Azure also allows characters that clash with MQTT wildcards or path separators (contract.md §2): not here.
_ID = re.compile(rf"[A-Za-z0-9_.\-:]{{1,{ID_CHARS_MAX}}}")
_HINT = f"use 1 to {ID_CHARS_MAX} characters out of A-Z a-z 0-9 _ . - :"


class DeviceId(str):
    """A legal device id: 1 to 128 of ``A-Z a-z 0-9 _ . - :``, case-sensitive; raises InvalidInput."""

    __slots__ = ()

    def __new__(cls, value: str) -> DeviceId:
        if not isinstance(value, str) or not _ID.fullmatch(value):
            raise InvalidInput("illegal device id", hint=_HINT, field="deviceId", value=_shown(value))
        return super().__new__(cls, value)


class ModuleId(str):
    """A legal module id: the device alphabet, or ``$edgeAgent`` or ``$edgeHub``; raises InvalidInput."""

    __slots__ = ()

    def __new__(cls, value: str) -> ModuleId:
        if not isinstance(value, str) or not (value in SYSTEM_MODULES or _ID.fullmatch(value)):
            raise InvalidInput("illegal module id", hint=_HINT, field="moduleId", value=_shown(value))
        return super().__new__(cls, value)


@dataclass(frozen=True, slots=True)
class Identity:
    """A device, or a module on it; what may connect. Sorts by device, the device before its modules."""

    device: DeviceId
    module: ModuleId | None = None
    # An identity is looked up many times per message.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.device, self.module)))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def parse(cls, client_id: str) -> Identity:
        """The identity whose MQTT client id is ``d`` or ``d/m`` (contract.md §1.3); raises InvalidInput."""
        device, slash, module = client_id.partition("/")
        return cls(DeviceId(device), ModuleId(module) if slash else None)

    @property
    def client_id(self) -> str:
        """``d`` or ``d/m``."""
        return self.device if self.module is None else f"{self.device}/{self.module}"

    @property
    def path(self) -> str:
        """``/devices/d`` or ``/devices/d/modules/m``."""
        device = f"/devices/{self.device}"
        return device if self.module is None else f"{device}/modules/{self.module}"

    def resource(self, host: str) -> str:
        """The decoded audience of this identity's SAS tokens: ``host/devices/d[/modules/m]``."""
        return host + self.path

    def __str__(self) -> str:
        return self.client_id

    def __lt__(self, other: Identity) -> bool:
        return (self.device, self.module or "") < (other.device, other.module or "")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= ID_CHARS_MAX else text[:ID_CHARS_MAX] + "…"
