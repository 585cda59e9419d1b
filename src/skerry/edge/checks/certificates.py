"""Whether the device's own authority is there and still valid."""

from __future__ import annotations

from cryptography import x509

from skerry.clock import iso
from skerry.edge.checks.check import NOT_PROVISIONED, Check, Device, Result, error, ok, warning

CA_FILE = "ca.pem"
# Leaf devices that trust this authority have to be given the next one in time.
WARN_DAYS = 30
RENEW_HINT = "have its authority issue another: skerry edge provision --identity-cert"


async def run(device: Device) -> Result:
    if device.settings is None:
        return NOT_PROVISIONED
    if (own := _identity(device)) is not None:
        return own
    file = device.settings.ca_directory / CA_FILE
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as problem:
        return error(f"cannot read {file}: {problem}", "run: skerry edge provision")
    left = (certificate.not_valid_after_utc - device.clock.now()).days
    until = iso(certificate.not_valid_after_utc)
    if left < 0:
        return error(f"the device's authority ended on {until}", "remove the folder ca and provision again")
    if left < WARN_DAYS:
        return warning(f"the device's authority ends on {until}", "plan to give leaf devices a new one")
    return ok(f"the device's authority is valid until {until}")


def _identity(device: Device) -> Result | None:
    """What is wrong with the certificate by which the device proves itself, if it has one."""
    if device.known is None or not device.known[1].x509:
        return None
    file = device.known[0].identity_certificate_file
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as problem:
        return error(f"cannot read {file}: {problem}", "run: skerry edge provision")
    left = (certificate.not_valid_after_utc - device.clock.now()).days
    until = iso(certificate.not_valid_after_utc)
    if left < 0:
        return error(f"the device's certificate ended on {until}", RENEW_HINT)
    return warning(f"the device's certificate ends on {until}", RENEW_HINT) if left < WARN_DAYS else None


CHECK = Check("certificates", "configuration", "certificates of the device", run)
