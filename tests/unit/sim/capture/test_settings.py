"""The capture module's environment: the tutorial's names, ours, and mistakes."""

from __future__ import annotations

import pytest

from skerry.errors import InvalidInput
from skerry.sim.capture.settings import CaptureSettings, read_capture_settings


def test_the_tutorials_variables_are_understood() -> None:
    found = read_capture_settings(
        {
            "VIDEO_PATH": "./test.mp4",
            "IMAGE_PROCESSING_ENDPOINT": "http://people-detection-service:80/image",
            "IMAGE_PROCESSING_PARAMS": '""',
            "SHOW_VIDEO": "True",
            "VERBOSE": "False",
            "LOOP_VIDEO": "False",
            "CONVERT_TO_GRAY": "True",
            "RESIZE_WIDTH": "256",
            "RESIZE_HEIGHT": "256",
            "ANNOTATE": "False",
            "IOTEDGE_MODULEID": "camera-capture",
        }
    )
    assert found == CaptureSettings(
        place="./test.mp4",
        name="camera-capture",
        endpoint="http://people-detection-service:80/image",
        loop=False,
        gray=True,
        size=(256, 256),
        live_port=5012,
    )


def test_a_number_is_a_camera_and_a_query_is_a_json_object() -> None:
    found = read_capture_settings({"VIDEO_PATH": "0", "IMAGE_PROCESSING_PARAMS": '{"top": 1}'})
    assert (found.place, found.params, found.loop) == ("/dev/video0", {"top": "1"}, True)


def test_a_password_in_an_address_is_never_shown() -> None:
    found = read_capture_settings({"SKERRY_SOURCE": "rtsp://admin:p@ss@cam.local/stream?x=a@b"})
    assert found.shown == "rtsp://cam.local/stream?x=a@b"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIDEO_PATH", ""),
        ("IMAGE_PROCESSING_ENDPOINT", "ftp://x/"),
        ("IMAGE_PROCESSING_ENDPOINT", "http://:80/"),
        ("IMAGE_PROCESSING_ENDPOINT", "http://x:99999/"),
        ("IMAGE_PROCESSING_PARAMS", "top=1"),
        ("LOOP_VIDEO", "sometimes"),
        ("SHOW_VIDEO", "2"),
        ("RESIZE_WIDTH", "256"),
        ("RESIZE_WIDTH", "-1"),
        ("SKERRY_FRAMES_PER_SECOND", "fast"),
        ("SKERRY_FRAMES_PER_SECOND", "nan"),
        ("SKERRY_RTSP_TRANSPORT", "quic"),
        ("SKERRY_LIVE_PORT", "70000"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        read_capture_settings({"VIDEO_PATH": "film.mp4", name: value})
