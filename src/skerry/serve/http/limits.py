"""What a peer may make the HTTP server hold, or wait for."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds per connection and for all of them; the defaults suit a device that serves its own network."""

    header_bytes_max: int = 16 * KIB
    """Request line and headers together; browsers and proxies stay below 8 KiB."""
    body_bytes_max: int = 32 * MIB
    """Six full-size photographs, as the tutorial sends them, fit."""
    held_bytes_max: int = 128 * MIB
    """Received and not yet answered, over all connections: what a small device can spare."""
    connections_max: int = 512
    """Each costs a few kilobytes; more than this is not a device's local traffic."""
    pipelined_max: int = 16
    """Requests that may wait behind the one being answered; then nothing more is read."""
    header_s: float = 10.0
    """From the first byte (or the connection) to the end of the headers, however they trickle in."""
    stall_s: float = 10.0
    """Between two pieces of a body."""
    body_s: float = 60.0
    """For the whole body: 32 MiB at half a megabyte per second."""
    idle_s: float = 75.0
    """A kept-alive connection without a request; proxies, which should close first, take 60 s."""
    write_s: float = 30.0
    """For the peer to take its response from us once the socket's buffer is full."""
    linger_s: float = 2.0
    """To let a peer read why it was refused before the connection is reset."""
