"""SOAP envelopes of WS-Management: reading requests, writing answers and faults. Pure.

Shapes: facts/winrm.md 5.3 and 5.4.
"""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from xml.etree import ElementTree as ET

__all__ = [
    "ANONYMOUS",
    "RSP",
    "TRANSFER",
    "Action",
    "FaultSide",
    "Message",
    "WsFault",
    "child_text",
    "escape",
    "parse_duration",
    "parse_message",
    "render_answer",
    "render_fault",
    "render_identity",
]

_S = "http://www.w3.org/2003/05/soap-envelope"
_A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
_F = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
_CFG = "http://schemas.microsoft.com/wbem/wsman/1/config"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
IDENTITY = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
ANONYMOUS = f"{_A}/role/anonymous"

_DURATION = re.compile(
    r"P(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,9}(?:\.\d{1,9})?)S)?)?",
    re.ASCII,
)
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Action(StrEnum):
    """What a message can ask for."""

    IDENTIFY = "identify"  # has no action header: told by its body
    GET = f"{TRANSFER}/Get"
    CREATE = f"{TRANSFER}/Create"
    DELETE = f"{TRANSFER}/Delete"
    COMMAND = f"{RSP}/Command"
    RECEIVE = f"{RSP}/Receive"
    SEND = f"{RSP}/Send"
    SIGNAL = f"{RSP}/Signal"


class FaultSide(StrEnum):
    """Who is to blame, in SOAP's words."""

    SENDER = "s:Sender"
    RECEIVER = "s:Receiver"


class WsFault(Exception):
    """A request that ends in a fault envelope (HTTP 500)."""

    def __init__(self, code: int, side: FaultSide, subcode: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.side = side
        self.subcode = subcode
        self.reason = reason


@dataclass(frozen=True)
class Message:
    """A request. ``timeout_s`` and ``max_envelope`` (bytes) are None where the client names none."""

    action: str
    message_id: str = ""
    resource_uri: str = ""
    shell_id: str = ""
    timeout_s: float | None = None
    max_envelope: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    body: ET.Element | None = None


def parse_message(text: bytes) -> Message:
    """A request from its envelope.

    Raises:
        WsFault: it is no envelope, or a header makes no sense; the fault Windows calls
            "invalid SOAP header" (2150858767).
    """
    if b"\0" in text:
        raise _invalid(
            "an envelope in another encoding than UTF-8"
        )  # the next look would miss a document type
    if b"<!" in text and (b"<!DOCTYPE" in text or b"<!ENTITY" in text):
        raise _invalid("a document type is not allowed in an envelope")
    try:
        envelope = ET.fromstring(text)  # noqa: S314 - entities are refused above
    except (ET.ParseError, ValueError, LookupError) as error:
        raise _invalid(f"not XML: {error}") from error
    if envelope.tag != f"{{{_S}}}Envelope":
        raise _invalid(f"not a SOAP 1.2 envelope: {envelope.tag}")
    header = envelope.find(f"{{{_S}}}Header")
    body = envelope.find(f"{{{_S}}}Body")
    content = None if body is None or len(body) == 0 else body[0]
    if content is not None and content.tag == f"{{{IDENTITY}}}Identify":
        return Message(Action.IDENTIFY, body=content)
    if header is None:
        raise _invalid("an envelope without a header")
    action = child_text(header, _A, "Action")
    message_id = child_text(header, _A, "MessageID")
    if not action or not message_id:
        raise _invalid("a header without Action or MessageID")
    return Message(
        action=action,
        message_id=message_id,
        resource_uri=child_text(header, _W, "ResourceURI"),
        shell_id=_named(header, "Selector").get("ShellId", ""),
        timeout_s=_timeout(child_text(header, _W, "OperationTimeout")),
        max_envelope=_size(child_text(header, _W, "MaxEnvelopeSize")),
        options=_named(header, "Option"),
        body=content,
    )


def parse_duration(text: str) -> float:
    """Seconds of an ISO 8601 duration of days and less, ``PT20S``.

    Raises:
        ValueError: it is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None or text in {"P", ""} or text.endswith("T"):
        raise ValueError(f"not a duration: {text!r}")
    parts = {name: float(value) for name, value in found.groupdict(default="0").items()}
    return ((parts["days"] * 24 + parts["hours"]) * 60 + parts["minutes"]) * 60 + parts["seconds"]


def child_text(parent: ET.Element, namespace: str, name: str) -> str:
    """The trimmed text of a child element, empty where there is none."""
    return (parent.findtext(f"{{{namespace}}}{name}") or "").strip()


def escape(text: str) -> str:
    """Text for an element or attribute; what XML cannot carry becomes U+FFFD."""
    return html.escape(_NOT_XML.sub("\ufffd", text))


def render_answer(request: Message, body: str) -> bytes:
    """The answer to a request; ``body`` is XML with the prefixes of ``_envelope``."""
    action = f"{request.action}Response"
    return _envelope(action, request.message_id, body)


def render_fault(message_id: str, fault: WsFault, machine: str) -> bytes:
    """A fault's envelope; ``message_id`` is the request's, empty where it could not be read."""
    reason = escape(fault.reason)
    body = (
        f"<s:Fault><s:Code><s:Value>{fault.side}</s:Value>"
        f"<s:Subcode><s:Value>{escape(fault.subcode)}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{reason}</s:Text></s:Reason>'
        f'<s:Detail><f:WSManFault xmlns:f="{_F}" Code="{fault.code}" Machine="{escape(machine)}">'
        f"<f:Message>{reason}</f:Message></f:WSManFault></s:Detail></s:Fault>"
    )
    return _envelope("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", message_id, body)


def render_identity(product: str) -> bytes:
    """The answer to Identify, which has no addressing headers."""
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{_S}"><s:Header/><s:Body>'
        f'<wsmid:IdentifyResponse xmlns:wsmid="{IDENTITY}">'
        "<wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd</wsmid:ProtocolVersion>"
        "<wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>"
        f"<wsmid:ProductVersion>{escape(product)}</wsmid:ProductVersion>"
        "</wsmid:IdentifyResponse></s:Body></s:Envelope>"
    ).encode()


def _envelope(action: str, relates_to: str, body: str) -> bytes:
    relates = f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to else ""
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{_S}" xmlns:a="{_A}" xmlns:x="{TRANSFER}" xmlns:w="{_W}" '
        f'xmlns:rsp="{RSP}" xmlns:cfg="{_CFG}"><s:Header><a:Action>{escape(action)}</a:Action>'
        f"<a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID><a:To>{ANONYMOUS}</a:To>{relates}"
        f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _named(header: ET.Element, kind: str) -> dict[str, str]:
    """Selectors or options by their names."""
    elements = header.findall(f"{{{_W}}}{kind}Set/{{{_W}}}{kind}")
    return {element.get("Name", ""): (element.text or "").strip() for element in elements}


def _timeout(text: str) -> float | None:
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise _invalid(f"OperationTimeout is {error}") from error


def _size(text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004 - below 1 GB
        raise _invalid(f"MaxEnvelopeSize is {text!r}")
    return int(text) if text else None


def _invalid(reason: str) -> WsFault:
    return WsFault(2150858767, FaultSide.SENDER, "a:InvalidMessageInformationHeader", reason)
