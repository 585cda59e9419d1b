"""What Docker's own words mean, as seen from Docker Engine 20.10; its status codes do not tell."""

import aiodocker
import pytest

from skerry.edge.engine.docker_errors import translated
from skerry.errors import (
    InvalidInput,
    NotAuthenticated,
    NotFound,
    SkerryError,
    StorageFull,
    Unavailable,
)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (404, "manifest unknown: manifest unknown", NotFound),
        (404, "No such image: nothing:1", NotFound),
        (404, "pull access denied for nothing, repository does not exist", NotFound),
        (500, "Get https://r/v2/: no basic auth credentials", NotAuthenticated),
        (500, "unauthorized: authentication required", NotAuthenticated),
        (
            500,
            "Get http://127.0.0.1:5000/v2/: dial tcp 127.0.0.1:5000: connect: connection refused",
            Unavailable,
        ),
        (500, "write /var/lib/docker/tmp/x: no space left on device", StorageFull),
        (400, "invalid reference format", InvalidInput),
        (900, "Cannot connect to Docker Engine via unix:///x.sock [Permission denied]", Unavailable),
    ],
)
def test_an_error_of_the_engine_becomes_our_kind_and_keeps_its_text(
    status: int, text: str, kind: type[SkerryError]
) -> None:
    with pytest.raises(SkerryError) as caught, translated("pull nothing:1", image="nothing:1"):
        raise aiodocker.DockerError(status, text)
    assert type(caught.value) is kind
    assert text in caught.value.what
    assert caught.value.fields == {"image": "nothing:1"}


def test_an_engine_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"), translated("list containers"):
        raise ConnectionRefusedError
