"""A Dockerfile says what the image's config says, in Docker's words."""

from __future__ import annotations

from skerry.oci.digest import digest_of
from skerry.oci.dockerfile import dockerfile
from skerry.oci.image import (
    OCI_LAYER,
    OCI_LAYER_GZIP,
    Descriptor,
    Healthcheck,
    Layer,
    RunConfig,
    assemble,
)


def test_every_field_of_the_config_is_an_instruction() -> None:
    layers = [
        Layer(Descriptor(OCI_LAYER_GZIP, digest_of(b"a"), 1), digest_of(b"b"), "base"),
        Layer(Descriptor(OCI_LAYER, digest_of(b"c"), 1), digest_of(b"c"), "model"),
    ]
    run = RunConfig(
        ("/usr/bin/python3", "-m", "it"),
        env={"PRICE": '5$ "net"', "PATH": "/usr/bin"},
        exposed_ports=("5001/tcp",),
        volumes=("/var/lib/it",),
        labels={"org.opencontainers.image.title": "it"},
        healthcheck=Healthcheck(("CMD", "/bin/true"), interval_s=10, timeout_s=2.5),
    )
    assert dockerfile(assemble(layers, run, "arm64"), "it:1").splitlines() == [
        "# it:1 for linux/arm64: docker build --tag it:1 .",
        "FROM scratch",
        "# base",
        "ADD layer-1.tar.gz /",
        "# model",
        "ADD layer-2.tar /",
        'ENV PATH="/usr/bin"',
        'ENV PRICE="5\\$ \\"net\\""',
        'LABEL "org.opencontainers.image.title"="it"',
        "WORKDIR /",
        "EXPOSE 5001/tcp",
        'VOLUME ["/var/lib/it"]',
        "USER 1000:1000",
        "STOPSIGNAL SIGTERM",
        'HEALTHCHECK --interval=10s --timeout=2.5s --start-period=5s --retries=3 CMD ["/bin/true"]',
        'ENTRYPOINT ["/usr/bin/python3", "-m", "it"]',
    ]
