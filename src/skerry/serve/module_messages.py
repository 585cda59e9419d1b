"""Module messages: what an input carries, what is sent back for it."""

from __future__ import annotations

from collections.abc import Mapping

from skerry.contract.message import Message
from skerry.errors import InvalidInput, SkerryError
from skerry.serve.answer import Scored
from skerry.serve.protocol import (
    UNNAMED,
    Images,
    Json,
    answer_document,
    content_kind,
    encode,
    images_of_json,
)

# The endpoint names of every Azure ML image (tutorial.md a.4); routes of users name them.
INPUT, OUTPUT = "amlInput", "amlOutput"
# The application property by which Azure ML's images tell whether scoring worked.
RESPONSE = "AzureMLResponse"


def images_of_message(message: Message) -> Images:
    """The images in an input message: its body by content type, or base64 in JSON.

    Without a content type a body that starts with ``{`` is taken for JSON: no image format does.
    Raises InvalidInput or Unsupported.
    """
    content_type = message.system.get("contentType", "")
    kind = content_kind(content_type)
    if not content_type and message.body.lstrip()[:1] == b"{":
        kind = "json"
    if kind == "multipart":
        raise InvalidInput("a message holds one image or JSON, not multipart", field="contentType")
    return images_of_json(message.body) if kind == "json" else {UNNAMED: message.body}


def answer_message(question: Message, results: Mapping[str, Scored]) -> Message:
    """The message for ``amlOutput``: the prediction document, with the input's properties carried over."""
    return reply(question, encode(answer_document(results)), "OK")


def error_message(question: Message, error: SkerryError) -> Message:
    """The message for ``amlOutput`` when the input could not be scored: ``{"message": why}``."""
    return reply(question, encode({"message": str(error)}), "Error")


def summary_message(summary: Mapping[str, Json]) -> Message:
    """The message for ``amlOutput`` that stands for an interval's predictions; ``kind`` lets routes tell."""
    system = {"contentType": "application/json", "contentEncoding": "utf-8"}
    return Message(encode(summary), {RESPONSE: "OK", "kind": "summary"}, system)


def source_of(message: Message) -> str:
    """Whose pictures these are: what the sender calls the camera, else the sender."""
    return message.properties.get("source") or message.system.get("connectionModuleId", "")


def reply(question: Message, body: bytes, response: str, content_type: str = "application/json") -> Message:
    """The message for ``amlOutput`` with this body; the input's properties are carried over."""
    kind = content_type.partition(";")[0].strip().lower()
    system = {"contentType": kind or "application/octet-stream"}
    if kind == "application/json":
        # Routes look into a body only when it says how it is encoded (contract.md §6.4).
        system["contentEncoding"] = "utf-8"
    asked = question.system.get("messageId")
    if asked:
        # The same input delivered twice gives the same id twice, so that a consumer can tell.
        system |= {"correlationId": asked, "messageId": f"{asked}.{OUTPUT}"}
    return Message(body, {**question.properties, RESPONSE: response}, system)
