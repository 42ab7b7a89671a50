"""Every metric that is exported, with the labels that it has."""

from __future__ import annotations

from typing import Final

from sockwatch.export.model import Metric

LISTENER: Final = ("netns", "protocol", "address", "port")
IF_RESTARTED: Final = "if it ended now and bound the port again with the flags it has"

BUILD_INFO: Final = Metric(
    "sockwatch_build_info", "gauge", "Versions of sockwatch and of the kernel.",
    ("version", "kernel"),
)  # fmt: skip
LISTENER_INFO: Final = Metric(
    "sockwatch_listener_info", "gauge",
    "Who listens, and the reuse flags: yes, no or unknown; mixed where its sockets differ.",
    (*LISTENER, "process", "unit", "container", "user", "reuseaddr", "reuseport"),
)  # fmt: skip
START_TIME: Final = Metric(
    "sockwatch_listener_start_time_seconds", "gauge",
    "When the oldest process that holds the listener started, since the epoch.", LISTENER,
)  # fmt: skip
QUEUE: Final = Metric(
    "sockwatch_accept_queue_length", "gauge",
    "Connections that wait for accept(), of the fullest listener of the address.", LISTENER,
)  # fmt: skip
QUEUE_LIMIT: Final = Metric(
    "sockwatch_accept_queue_limit", "gauge", "How many may wait there.", LISTENER
)
DROPS: Final = Metric(
    "sockwatch_listener_drops_total", "counter",
    "Packets for the listener that the kernel dropped: a full queue, or strays.", LISTENER,
)  # fmt: skip
RESTART_BLOCKED: Final = Metric(
    "sockwatch_restart_blocked", "gauge",
    f"Whether the server's bind() or listen() would fail {IF_RESTARTED}.", LISTENER,
)  # fmt: skip
RESTART_BLOCKED_SECONDS: Final = Metric(
    "sockwatch_restart_blocked_seconds", "gauge",
    "For how long it would; absent if nothing blocks, or if that ends by no clock.", LISTENER,
)  # fmt: skip
DOUBLE_START: Final = Metric(
    "sockwatch_double_start", "gauge",
    "Whether several starts, programs or users share the address by SO_REUSEPORT.", LISTENER,
)  # fmt: skip
IN_RANGE: Final = Metric(
    "sockwatch_listener_in_ephemeral_range", "gauge",
    "Whether a client may take the port once the TCP server has stopped.", LISTENER,
)  # fmt: skip
EPHEMERAL_UDP: Final = Metric(
    "sockwatch_ephemeral_udp_sockets", "gauge",
    "UDP sockets without a peer in the ephemeral range, of clients or of servers: they are not"
    " listed as listeners.", ("netns",),
)  # fmt: skip
LEFT_OUT: Final = Metric(
    "sockwatch_listeners_left_out", "gauge", "Listeners beyond those that are listed."
)
TIME_WAITS: Final = Metric(
    "sockwatch_time_wait_sockets", "gauge",
    "TIME_WAITs by SO_REUSEADDR, of ports that have, or had in the last hour, a listener;"
    " port is other for the rest.",
    ("netns", "protocol", "port", "reuseaddr"),
)  # fmt: skip
BOUND_ONLY: Final = Metric(
    "sockwatch_bound_only_sockets", "gauge",
    "TCP sockets that have a port and neither listen nor are connected;"
    " port is other in the ephemeral range.",
    LISTENER,
)  # fmt: skip
EPHEMERAL_USED: Final = Metric(
    "sockwatch_ephemeral_ports_used", "gauge",
    "Client ports by destination, of the fullest pairs of addresses.",
    ("netns", "source", "destination", "port"),
)  # fmt: skip
EPHEMERAL: Final = Metric(
    "sockwatch_ephemeral_ports", "gauge",
    "Ports of ip_local_port_range that are not reserved.", ("netns",),
)  # fmt: skip
PUBLISHED: Final = Metric(
    "sockwatch_published_without_listener", "gauge",
    "Whether NAT rules take the traffic of a port on which nobody listens.",
    ("netns", "protocol", "port"),
)  # fmt: skip
FAILED_BINDS: Final = Metric(
    "sockwatch_failed_binds_total", "counter",
    "bind() and listen() calls that failed, since export began to watch (root).",
    ("netns", "protocol", "port", "errno", "cause", "unit"),
)  # fmt: skip
FAILED_BINDS_LOST: Final = Metric(
    "sockwatch_failed_binds_lost_total", "counter",
    "Such calls that came too fast to be told apart.",
)  # fmt: skip
GAP: Final = Metric(
    "sockwatch_gap", "gauge", "What could not be seen: 1 for each kind of gap.", ("code",)
)
LOOK_SECONDS: Final = Metric(
    "sockwatch_look_duration_seconds", "gauge", "How long the last look took."
)
LOOK_AGE: Final = Metric(
    "sockwatch_look_age_seconds", "gauge", "How old the look is that these numbers are of."
)
LOOKS: Final = Metric("sockwatch_looks_total", "counter", "Looks at this host.")
LOOK_ERRORS: Final = Metric("sockwatch_look_errors_total", "counter", "Looks that failed.")

METRICS: Final = (
    BUILD_INFO, LISTENER_INFO, START_TIME, QUEUE, QUEUE_LIMIT, DROPS, RESTART_BLOCKED,
    RESTART_BLOCKED_SECONDS, DOUBLE_START, IN_RANGE, EPHEMERAL_UDP, LEFT_OUT, TIME_WAITS,
    BOUND_ONLY, EPHEMERAL_USED, EPHEMERAL, PUBLISHED, FAILED_BINDS, FAILED_BINDS_LOST, GAP,
    LOOK_SECONDS, LOOK_AGE, LOOKS, LOOK_ERRORS,
)  # fmt: skip
