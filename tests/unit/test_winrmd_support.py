"""What the tests of harness.winrmd share: an endpoint, clients, a guest."""

from __future__ import annotations

import base64
import contextlib
import http.client
import threading
import uuid
from xml.etree import ElementTree as ET

from winrm.protocol import Protocol

from harness.operations import BootId, FileContent, OperationRefused, XenstoreEvent
from harness.winrmd import (
    CommandRequest,
    Credentials,
    Dispatcher,
    Output,
    OutputBuffer,
    Reply,
    ServerCertificate,
    TableRunner,
    WinRmServer,
)

ADDRESS = "127.0.5.1"
USER, PASSWORD = "Administrator", "p:ass wörd"
CERTIFICATE = ServerCertificate.make("WIN1")
SHELL_GONE, TIMED_OUT = 2150858843, 2150858793

RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
NS = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "f": "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault",
    "rsp": RSP,
    "cfg": "http://schemas.microsoft.com/wbem/wsman/1/config",
    "i": "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd",
}
IDENTIFY = (
    f'<s:Envelope xmlns:s="{NS["s"]}" xmlns:i="{NS["i"]}"><s:Header/>'
    "<s:Body><i:Identify/></s:Body></s:Envelope>"
)


class Puppet:
    """A command whose output the test writes; remembers its stdin."""

    def __init__(self):
        self.output = OutputBuffer()
        self.stdin = b""
        self.stdin_ended = False
        self.terminated = threading.Event()
        self.reading = threading.Event()

    def write_stdin(self, data):
        self.stdin += data

    def close_stdin(self):
        self.stdin_ended = True

    def read_output(self, timeout_s: float, limit: int) -> Output:
        self.reading.set()
        return self.output.read(timeout_s, limit)

    @property
    def exit_code(self):
        return self.output.exit_code

    def terminate(self):
        self.terminated.set()
        self.output.end(0xC000013A)


class PuppetRunner:
    """Starts puppets for every command and remembers what was asked for."""

    def __init__(self):
        self.started: list[tuple[CommandRequest, Puppet]] = []

    @property
    def last(self) -> Puppet:
        return self.started[-1][1]

    def accepts(self, request):
        return True

    def start(self, request):
        self.started.append((request, Puppet()))
        return self.last


class Guest:
    """A little of GuestOperations."""

    def __init__(self):
        self.watch_may_end = threading.Event()
        self.watching = threading.Event()

    def boot_id(self):
        return BootId("boot-1")

    def read_file(self, *, path, offset, length):
        if path == "missing":
            raise OperationRefused("not-found", "ä file")
        if path == "broken":
            raise RuntimeError("it broke")
        return FileContent(path, length, "A" * length)

    def xenstore_watch(self, *, path, seconds):
        self.watching.set()
        self.watch_may_end.wait(30)
        return XenstoreEvent(path, fired=True)


def say(text: str):
    """A runner for one command, ``say``."""
    return Dispatcher(TableRunner({"say": Reply(text.encode())}))


@contextlib.contextmanager
def serving(runner, **settings):
    server = WinRmServer(
        ADDRESS, 0, credentials=Credentials(USER, PASSWORD), runner=runner, machine="WIN1", **settings
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()
    assert [thread for thread in threading.enumerate() if server.url in thread.name] == []


@contextlib.contextmanager
def talking(server, transport="basic", *, password=PASSWORD, operation_s=20, **settings):
    """A pywinrm Protocol, its connection closed afterwards."""
    protocol = Protocol(
        server.url,
        transport=transport,
        username=USER,
        password=password,
        server_cert_validation="ignore",
        proxy=None,
        operation_timeout_sec=operation_s,
        read_timeout_sec=operation_s + 10,
        **settings,
    )
    try:
        yield protocol
    finally:
        protocol.transport.close_session()


def run(protocol, shell, command, arguments=(), stdin=None):
    """Run a command to its end: stdout, stderr, exit code."""
    number = protocol.run_command(shell, command, arguments)
    if stdin is not None:
        protocol.send_command_input(shell, number, stdin, end=True)
    try:
        return protocol.get_command_output(shell, number)
    finally:
        protocol.cleanup_command(shell, number)


class Raw:
    """HTTP by hand, with Basic: for what the libraries would never send."""

    def __init__(self, server, *, login=True):
        self._connection = http.client.HTTPConnection(server.address, server.port, timeout=20)
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"} if login else {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()

    def request(self, body=b"", *, method="POST", path="/wsman", **headers):
        self._connection.request(method, path, body, self._headers | headers)
        response = self._connection.getresponse()
        return response, response.read()

    def soap(self, action, body="", **header):
        """A message; gives status and the answering envelope."""
        response, answer = self.request(envelope(action, body, **header).encode())
        return response.status, ET.fromstring(answer)


def envelope(
    action, body="", *, message_id="", shell="", uri=f"{RSP}/cmd", timeout="PT20S", size=153600, options=""
):
    selector = f'<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>'
    return (
        f'<s:Envelope xmlns:s="{NS["s"]}" xmlns:a="{NS["a"]}" xmlns:rsp="{RSP}" '
        'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"><s:Header>'
        f"<a:Action>{action}</a:Action><a:MessageID>{message_id or f'uuid:{uuid.uuid4()}'}</a:MessageID>"
        f"<w:ResourceURI>{uri}</w:ResourceURI><w:OperationTimeout>{timeout}</w:OperationTimeout>"
        f"<w:MaxEnvelopeSize>{size}</w:MaxEnvelopeSize>{selector if shell else ''}{options}"
        f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


def receive(command):
    stream = f'<rsp:DesiredStream CommandId="{command}">stdout stderr</rsp:DesiredStream>'
    return f"<rsp:Receive>{stream}</rsp:Receive>"


def fault_of(answer):
    """Code and subcode of a fault's envelope."""
    detail = answer.find("s:Body/s:Fault/s:Detail/f:WSManFault", NS)
    subcode = answer.findtext("s:Body/s:Fault/s:Code/s:Subcode/s:Value", namespaces=NS)
    return int(detail.get("Code")), subcode


@contextlib.contextmanager
def in_thread(work):
    """Run ``work`` in a thread; gives a call that waits for its result. Its exceptions are results."""
    results = []

    def record():
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results.append(error)

    thread = threading.Thread(target=record)
    thread.start()

    def result():
        thread.join(20)
        assert results, "the thread did not end"
        return results[0]

    try:
        yield result
    finally:
        thread.join(20)
