"""Talk to systemd without a library: readiness and watchdog out, listening sockets in (sd_notify(3), sd_listen_fds(3))."""

import os
import socket
from collections.abc import Mapping

_FIRST_DESCRIPTOR = 3


def notify(address: str, message: str) -> bool:
    """
    Send a message to the service manager.

    Args:
        address: `NOTIFY_SOCKET`: a path, or "@" and an abstract name; "" when there is no manager.
        message: assignments, one per line: READY=1, STATUS=…, WATCHDOG=1, STOPPING=1, RELOADING=1, EXTEND_TIMEOUT_USEC=….

    Returns:
        Whether it was sent. A manager that does not listen is no reason to stop working.
    """
    if not address:
        return False
    place = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(message.encode(), place)
        except OSError:
            return False
    return True


def inherited(environment: Mapping[str, str], process: int) -> dict[str, socket.socket]:
    """
    The sockets that systemd bound for this process, by their `FileDescriptorName=`.

    Args:
        environment: `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` are read.
        process: our own process id; sockets for another one are not ours.
    """
    if environment.get("LISTEN_PID") != str(process):
        return {}
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found = {}
    for offset in range(int(environment.get("LISTEN_FDS", "0"))):
        descriptor = _FIRST_DESCRIPTOR + offset
        os.set_inheritable(descriptor, False)
        found[names[offset] if offset < len(names) else str(descriptor)] = socket.socket(fileno=descriptor)
    return found
