"""The authorities whose certificates devices may show, uploaded and proved as at Azure."""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import format_datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from skerry.clock import Clock
from skerry.contract.json_text import Json
from skerry.contract.member import Member
from skerry.errors import AlreadyExists, InvalidInput, NotAllowed, NotFound, PreconditionFailed
from skerry.hub import etags
from skerry.hub.fresh import fresh_etag, fresh_verification
from skerry.hub.journal import Journal
from skerry.service.certificate_chain import (
    Certificate,
    check_dates,
    common_name,
    is_authority,
    is_issued_by,
    read_certificate,
    thumbprints,
)
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

# Azure's bounds.
CERTIFICATES_MAX = 25
NAME = re.compile(r"[A-Za-z0-9-._]{1,64}")
_COLUMNS = "name, pem, verified, code, created, updated, etag"
_PEM_BEGIN = b"-----BEGIN"


@dataclass(frozen=True, slots=True)
class CaCertificate:
    """One authority; devices may lean on it once it is ``verified``. ``code`` is what its key has to sign."""

    name: str
    pem: str
    verified: bool
    code: str
    created: str
    updated: str
    etag: str

    @property
    def certificate(self) -> Certificate:
        return x509.load_pem_x509_certificate(self.pem.encode())

    def document(self, *, with_code: bool = False) -> dict[str, Any]:
        """As Azure Resource Manager shows it."""
        certificate = self.certificate
        code = {"verificationCode": self.code} if with_code else {}
        return {
            "name": self.name,
            "etag": self.etag,
            "type": "Microsoft.Devices/IotHubs/Certificates",
            "properties": {
                "subject": common_name(certificate) or certificate.subject.rfc4514_string(),
                "expiry": format_datetime(certificate.not_valid_after_utc, usegmt=True),
                "thumbprint": thumbprints(certificate)[0],
                "isVerified": self.verified,
                "created": self.created,
                "updated": self.updated,
                "certificate": base64.b64encode(self.pem.encode()).decode(),
                **code,
            },
        }


class CaCertificates:
    """Verbs for the service, and ``anchors`` for whoever has to judge a device's certificate."""

    def __init__(self, database: Storage, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._anchors: dict[str, Certificate] = {}
        self._learn(database.read_now(_all))

    @property
    def anchors(self) -> tuple[Certificate, ...]:
        """The verified ones."""
        return tuple(self._anchors.values())

    def anchor(self, name: str) -> Certificate | None:
        """The verified one of this name."""
        return self._anchors.get(name.lower())

    def get(self, name: str) -> CaCertificate:
        """Raises NotFound."""
        return self._database.read_now(lambda connection: _load(connection, name))

    def listed(self) -> list[CaCertificate]:
        """All by name."""
        return self._database.read_now(_all)

    async def put(self, name: str, document: Json, if_match: str | None) -> CaCertificate:
        """Upload (no ``if_match``) or replace one; a new certificate has to be proved anew.

        ``isVerified: true`` is the owner's word that it is his, as at Azure. Raises InvalidInput,
        AlreadyExists, NotFound, PreconditionFailed, NotAllowed (too many).
        """
        if not NAME.fullmatch(name):
            raise InvalidInput("illegal certificate name", hint="1 to 64 of A-Z a-z 0-9 - . _", path="name")
        root = Member("", document)
        properties = root["properties"] if root["properties"].given else root
        certificate = read_certificate(_text(properties["certificate"]), properties["certificate"].path)
        if not is_authority(certificate):
            raise InvalidInput(
                "this certificate is no authority", hint="basicConstraints CA:TRUE", path="certificate"
            )
        pem = certificate.public_bytes(Encoding.PEM).decode()
        word = properties["isVerified"].value is True
        now = self._now()

        def work(connection: Transaction) -> CaCertificate:
            old = _find(connection, name)
            if if_match is None:
                _check_new(connection, name, old)
            else:
                _check_etag(_load(connection, name), if_match)
            same = old is not None and old.pem == pem
            made = CaCertificate(
                old.name if old else name,
                pem,
                word or (old is not None and same and old.verified),
                "",
                old.created if old else now,
                now,
                fresh_etag(),
            )
            _save(connection, made)
            self._note(connection, "update" if if_match else "create", old, made)
            return made

        made = await self._change(work)
        how = "verified" if made.verified else "not verified yet"
        log.info("authority %s: certificate %s, %s", made.name, thumbprints(certificate)[0], how)
        return made

    async def challenge(self, name: str, if_match: str | None) -> CaCertificate:
        """Give it a new code to be signed. Raises NotFound, PreconditionFailed."""

        def work(connection: Transaction) -> CaCertificate:
            old = _load(connection, name)
            _check_etag(old, if_match)
            made = replace(old, code=fresh_verification(), updated=self._now(), etag=fresh_etag())
            _save(connection, made)
            self._note(connection, "challenge", old, made)
            return made

        return await self._change(work)

    async def verify(self, name: str, document: Json, if_match: str | None) -> CaCertificate:
        """Take a certificate that the authority issued for the code as the proof that its key is the owner's.

        Raises NotFound, PreconditionFailed, InvalidInput.
        """
        member = Member("", document)["certificate"]
        proof = read_certificate(_text(member), member.path)

        def work(connection: Transaction) -> CaCertificate:
            old = _load(connection, name)
            _check_etag(old, if_match)
            _check_proof(old, proof)
            check_dates(proof, self._clock.now())
            made = replace(old, verified=True, code="", updated=self._now(), etag=fresh_etag())
            _save(connection, made)
            self._note(connection, "verify", old, made)
            return made

        made = await self._change(work)
        log.info("authority %s is verified", made.name)
        return made

    async def delete(self, name: str, if_match: str | None) -> None:
        """Devices that lean on it are refused from their next connection on. NotFound, PreconditionFailed."""

        def work(connection: Transaction) -> CaCertificate:
            old = _load(connection, name)
            _check_etag(old, if_match)
            connection.execute("DELETE FROM ca_certificates WHERE name = ?", (name,))
            self._note(connection, "delete", old, None)
            return old

        gone = await self._change(work)
        log.info("authority %s deleted", gone.name)

    def _note(
        self,
        connection: Transaction,
        action: str,
        old: CaCertificate | None,
        new: CaCertificate | None,
    ) -> None:
        name = next(one.name for one in (new, old) if one is not None)
        before, after = (one.etag if one else "" for one in (old, new))
        self._journal.acted(connection, f"certificate.{action}", name, before=before, after=after)

    async def _change(self, work: Callable[[Transaction], CaCertificate]) -> CaCertificate:
        made = await self._database.write(work)
        self._learn(self._database.read_now(_all))
        return made

    def _learn(self, known: list[CaCertificate]) -> None:
        self._anchors = {one.name.lower(): one.certificate for one in known if one.verified}

    def _now(self) -> str:
        return format_datetime(self._clock.now(), usegmt=True)


def _check_proof(old: CaCertificate, proof: Certificate) -> None:
    if not old.code:
        raise InvalidInput("there is no verification code", hint="generate one first", path="certificate")
    if common_name(proof) != old.code:
        raise InvalidInput("the certificate's common name is not the verification code", path="certificate")
    if not is_issued_by(proof, old.certificate):
        raise InvalidInput(
            f"the certificate was not issued by {old.name}", hint="sign it with that key", path="certificate"
        )


def _check_new(connection: Transaction, name: str, old: CaCertificate | None) -> None:
    if old is not None:
        raise AlreadyExists(f"authority {name} exists already", hint="send If-Match to replace it", id=name)
    (count,) = connection.execute("SELECT count(*) FROM ca_certificates").fetchone()
    if count >= CERTIFICATES_MAX:
        raise NotAllowed(f"there are {CERTIFICATES_MAX} authorities", hint="delete one")


def _check_etag(one: CaCertificate, if_match: str | None) -> None:
    if if_match is not None and not etags.matches(if_match, one.etag):
        raise PreconditionFailed(
            f"authority {one.name} has changed", hint="read it again and use its etag", etag=one.etag
        )


def _text(member: Member) -> str:
    """PEM, or base64 of it (as Azure's API has it), or of the bare DER."""
    text = member.text()
    try:
        decoded = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return text
    return decoded.decode(errors="replace") if decoded.lstrip().startswith(_PEM_BEGIN) else text


def _find(connection: Transaction, name: str) -> CaCertificate | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM ca_certificates WHERE name = ?", (name,)).fetchone()
    return None if row is None else _certificate(row)


def _load(connection: Transaction, name: str) -> CaCertificate:
    found = _find(connection, name)
    if found is None:
        raise NotFound(f"there is no authority {name[:64]!r}", hint="skerry hub certificate list shows them")
    return found


def _all(connection: Transaction) -> list[CaCertificate]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM ca_certificates ORDER BY name")
    return [_certificate(row) for row in rows]


def _save(connection: Transaction, one: CaCertificate) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO ca_certificates ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (one.name, one.pem, int(one.verified), one.code, one.created, one.updated, one.etag),
    )


def _certificate(row: tuple[Any, ...]) -> CaCertificate:
    name, pem, verified, code, created, updated, etag = row
    return CaCertificate(name, pem, bool(verified), code, created, updated, etag)
