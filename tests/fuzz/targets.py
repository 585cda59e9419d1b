"""What is fuzzed: each parser of foreign bytes, with what has to hold for all of them.

A target raises nothing but our errors, and its assertions hold. ``python -m tests.fuzz NAME`` runs one for
as long as you like; CI runs each briefly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from skerry.amqp.codec import decode_all, encode
from skerry.amqp.connection import Connection
from skerry.amqp.fault import AmqpError
from skerry.amqp.message import decode_message, encode_message
from skerry.contract.configuration import parse_configuration
from skerry.contract.connect_name import parse_username
from skerry.contract.credentials import ConnectionString, SasToken
from skerry.contract.enrollment import parse_enrollment
from skerry.contract.json_text import parse_json
from skerry.contract.manifest import parse_agent_desired, parse_hub_desired, parse_manifest
from skerry.contract.message import Message, decode_bag, encode_bag
from skerry.contract.names import DeviceId, Identity
from skerry.contract.query import run
from skerry.contract.query_syntax import parse_query
from skerry.contract.route import matches, parse_route
from skerry.contract.topics import parse_client_topic, parse_server_topic
from skerry.contract.twin import merge, validate_patch
from skerry.errors import SkerryError
from skerry.mqtt.codec import Decoder
from skerry.mqtt.codec import encode as encode_packet
from skerry.mqtt.packets import ConnAck
from skerry.mqtt.session import ServerSession
from skerry.oci.parts import parts_of
from skerry.oci.reference import parse_reference
from skerry.oci.registry.challenge import parse_challenge
from skerry.package.recipe import Recipe
from skerry.serve.http.limits import Limits
from skerry.serve.http.parser import RequestParser
from skerry.serve.multipart import parse_parts

Target = Callable[[bytes], None]

SENDER = Identity(DeviceId("d"))
DOCUMENTS = (
    {"deviceId": "a", "tags": {"x": 1, "list": [1, "two"]}, "properties": {"reported": {"t": 2.5}}},
    {"deviceId": "b", "tags": {"x": "1"}, "status": None, "capabilities": {"iotEdge": True}},
)
BODY = Message(b'{"a": {"b": [1, 2]}}', {"p": "v"}, {"contentType": "application/json"})


def mqtt(data: bytes) -> None:
    """However the bytes are cut, the same packets; a packet written again is the same packet."""
    whole = Decoder(64 * 1024).feed(data)
    cut, pieces = Decoder(64 * 1024), []
    for position in range(0, len(data), 3):
        pieces += cut.feed(data[position : position + 3])
    assert whole == pieces
    for packet in whole:
        assert Decoder(1 << 20).feed(encode_packet(packet)) == [packet]


def mqtt_session(data: bytes) -> None:
    """A server's end takes any bytes after its CONNECT was accepted."""
    session: ServerSession[None] = ServerSession(0.0, connect_timeout_s=10.0)
    connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01d"
    session.receive(connect, 0.0)
    session.accept(ConnAck(False, 0), 0.0)
    session.receive(data, 1.0)
    session.outgoing()
    session.close()


def amqp_values(data: bytes) -> None:
    """What was read, written and read again is the same."""
    values = decode_all(data)
    assert repr(decode_all(b"".join(map(encode, values)))) == repr(values)


def amqp_message(data: bytes) -> None:
    message = decode_message(data)
    assert repr(decode_message(encode_message(message))) == repr(message)


def amqp_connection(data: bytes) -> None:
    """A connection takes any bytes, with and without SASL before them, and never raises."""
    opened = bytes.fromhex("414d515000010000")
    for before in (b"", opened, bytes.fromhex("414d515003010000")):
        connection = Connection("hub", 0.0, authenticate=lambda mechanism, answer: True)
        connection.receive(before + data, 0.0)
        connection.outgoing(0.0)
        connection.tick(1.0)


def http(data: bytes) -> None:
    """However the bytes are cut, the same requests and the same refusal."""
    limits = Limits(header_bytes_max=512, body_bytes_max=1024)
    whole, cut = RequestParser(limits), RequestParser(limits)
    events = whole.feed(data)
    pieces = []
    for position in range(len(data)):
        pieces += cut.feed(data[position : position + 1])
    if all(not str(event).startswith("Refusal") for event in (*events, *pieces)):
        assert events == pieces


def multipart(data: bytes) -> None:
    parse_parts(data, "multipart/form-data; boundary=b")


def bag(data: bytes) -> None:
    """Properties that were read are written so that they are read the same."""
    properties, system = decode_bag(_text(data))
    again = decode_bag(encode_bag(Message(b"", properties, system)))
    assert again == (properties, system)


def topics(data: bytes) -> None:
    text = _text(data)
    for parse in (lambda t: parse_client_topic(t, SENDER), parse_server_topic):
        try:
            parse(text)
        except SkerryError:
            continue


def route(data: bytes) -> None:
    found = parse_route(_text(data))
    assert matches(found, "/messages/modules/m/outputs/o", BODY) in (True, False)


def query(data: bytes) -> None:
    """A query that was understood has an answer over any document."""
    found = parse_query(_text(data))
    assert len(run(found, DOCUMENTS)) <= max(len(DOCUMENTS), 1)


def credentials(data: bytes) -> None:
    text = _text(data)
    for parse in (ConnectionString.parse, SasToken.parse, lambda t: parse_username(t, "d")):
        try:
            parse(text)
        except SkerryError:
            continue


def json_documents(data: bytes) -> None:
    """REST bodies: what is JSON is either taken or refused by its path."""
    document = parse_json(data)
    for parse in (
        parse_manifest,
        parse_agent_desired,
        parse_hub_desired,
        lambda d: parse_configuration(d, "c"),
        lambda d: parse_enrollment(d, "e", group=False),
        lambda d: parse_enrollment(d, "e", group=True),
    ):
        try:
            parse(document)
        except SkerryError:
            continue


def twin_patch(data: bytes) -> None:
    """A patch that is legal merges, and merging it again changes nothing."""
    patch = parse_json(data)
    validate_patch(patch)
    merged = merge({"a": {"b": 1}}, patch)
    assert merge(merged, patch) == merged


def recipe(data: bytes) -> None:
    found = Recipe.from_json(parse_json(data))
    assert Recipe.from_json(found.to_json()) == found


def registry(data: bytes) -> None:
    """What a registry's clients send and what its servers answer."""
    text = _text(data)
    parse_challenge(text)
    if data[:1] == b"{":
        parts = parts_of(data)
        assert all(blob.size >= 0 for blob in parts.blobs)
        assert (parts.media_type + parts.artifact_type).isascii()
    else:
        assert str(parse_reference(text)) == text


TARGETS: Mapping[str, Target] = {
    one.__name__: one
    for one in (
        mqtt,
        mqtt_session,
        amqp_values,
        amqp_message,
        amqp_connection,
        http,
        multipart,
        bag,
        topics,
        route,
        query,
        credentials,
        json_documents,
        twin_patch,
        recipe,
        registry,
    )
}
# Where a fuzzer begins: a few legal inputs of each kind.
SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "mqtt": (
        b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01d",
        b"\x32\x09\x00\x03a/b\x00\x01hi",
        b"\x82\x08\x00\x01\x00\x03a/#\x01",
        b"\x40\x02\x00\x01",
    ),
    "mqtt_session": (b"\x32\x09\x00\x03a/b\x00\x01hi", b"\x82\x08\x00\x01\x00\x03a/#\x01\xc0\x00"),
    "amqp_values": (b"\xa1\x02hi\x52\x07\x41", b"\xc0\x05\x02\x52\x01\xa1\x00", b"\xc1\x05\x02\xa1\x01a\x41"),
    "amqp_message": (b"\x00\x53\x75\xa0\x02hi", b"\x00\x53\x73\xc0\x03\x01\xa1\x00\x00\x53\x75\xa0\x01x"),
    "amqp_connection": (
        b"\x00\x00\x00\x0e\x02\x00\x00\x00\x00\x53\x10\xc0\x01\x00",
        b"AMQP\x00\x01\x00\x00\x00\x00\x00\x08\x02\x00\x00\x00",
    ),
    "http": (
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /score HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ),
    "multipart": (b'--b\r\nContent-Disposition: form-data; name="i"; filename="f"\r\n\r\nx\r\n--b--\r\n',),
    "bag": (b"a=b&%24.ct=application%2Fjson&c", b"%24.mid=1&%24.ce=utf-8"),
    "topics": (b"devices/d/messages/events/a=b", b"$iothub/twin/res/200/?$rid=1&$version=2"),
    "route": (
        b'FROM /messages/* WHERE NOT IS_DEFINED($messageId) INTO BrokeredEndpoint("/modules/a/inputs/b")',
        b"SELECT * FROM /* WHERE $body.a.b[1] > 1.5 AND p = 'v' INTO $upstream",
    ),
    "query": (
        b"SELECT deviceId, tags.x FROM devices WHERE tags.x IN [1, '2'] AND NOT is_defined(status)",
        b"SELECT status, count() AS n FROM devices GROUP BY status",
        b"SELECT TOP 3 * FROM devices.modules WHERE tags.t * 2 >= 5 OR startswith(deviceId, 'a')",
    ),
    "credentials": (
        b"HostName=h;DeviceId=d;SharedAccessKey=a2V5",
        b"SharedAccessSignature sr=h%2Fdevices%2Fd&sig=abc%3D&se=1700000000",
        b"h/d/?api-version=2019-10-01&DeviceClientType=x",
    ),
    "json_documents": (
        b'{"modulesContent": {"$edgeAgent": {"properties.desired": {"schemaVersion": "1.1"}}}}',
        b'{"schemaVersion": "1.1", "runtime": {"type": "docker", "settings": {}}, "modules": {}}',
        b'{"registrationId": "e", "attestation": {"type": "symmetricKey"}}',
    ),
    "twin_patch": (b'{"a": {"b": null, "c": [1, "x"]}}',),
    "registry": (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"a/b",'
        b'"size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}',
        b"hub.plant:8443/solar/cnn:1@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        b'Bearer realm="https://a/token",service="a",scope="repository:a:pull"',
    ),
    "recipe": (
        b'{"input":{"name":"i","height":8,"width":8,"channels":3,"layout":"NHWC","dtype":"float32"},'
        b'"decode":{"colour":"RGB","exifOrientation":false},"crop":null,"resize":{"method":"bilinear",'
        b'"antialias":true,"library":"pillow"},"scaling":{"mean":[1.0],"std":[2.0]},"output":{"name":"o",'
        b'"kind":"softmax","topK":1,"labels":[{"id":"a","name":"A"},{"id":"b","name":"B"}]}}',
    ),
}
WORDS: Mapping[str, tuple[str, ...]] = {
    "route": ("FROM", "INTO", "WHERE", "$body", "$upstream", "AND", "??", "||", "as_number(", "/*"),
    "query": ("SELECT", "FROM", "WHERE", "GROUP BY", "count()", "is_defined(", "IN [", "AS", "TOP", "<>"),
}
# Nothing of ours, but what a target of ours may end with.
REFUSALS = (SkerryError, AmqpError)


def check(name: str, data: bytes) -> None:
    """Run a target; what it refuses is fine, anything else it raises is a bug."""
    try:
        TARGETS[name](data)
    except REFUSALS:
        return


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
