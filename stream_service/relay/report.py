"""How the relay looks from outside: plain values made of channels and clients, addresses without their secrets."""

from collections.abc import Iterable, Mapping

from servicekit.clock import iso
from servicekit.redact import redact
from stream_service.relay.channel import Channel, State
from stream_service.relay.client import Client

TOTALS = (
    "joins", "refused", "left", "stuck", "too_slow", "jumps", "sent_bytes", "reconnects", "switches", "slates", "moves",
    "no_slot", "preempted", "cut_short",
)  # fmt: skip
"""What is counted since the start."""


def counts_of(channel: Channel) -> dict[str, int]:
    """What a channel counts itself; added to the totals when it ends."""
    return {"reconnects": channel.reconnects, "switches": channel.failover.switches, "slates": channel.slates}


def session(channel: Channel, now_s: float, epoch_s: int) -> dict[str, object]:
    """A channel and its clients. `now_s`: monotonic, `epoch_s`: the same moment as people tell it."""
    address, ring = channel.address, channel.ring
    return {
        "id": channel.target.id,
        "name": channel.target.name,
        "state": str(channel.state),
        "reason": channel.reason,
        "since": _moment(channel.since_s, now_s, epoch_s),
        "upstream": redact(address.url) if address else None,
        "stream_id": address.id if address else None,
        "source_id": address.source_id if address else None,
        "why": channel.failover.why or None,
        "slate": str(channel.trouble) if channel.slate_shown else None,
        "bitrate_mbps": round(ring.bitrate_bps() / 1e6, 3),
        "buffer_s": round(ring.span_s, 1),
        "buffer_bytes": ring.size_bytes,
        "start_points": ring.start_points,
        "stall_s": round(channel.stall_s, 1),
        "reconnects": channel.reconnects,
        "switches": channel.failover.switches,
        "slates": channel.slates,
        "moves": [
            {
                "at": _moment(move.at_s, now_s, epoch_s),
                "from": str(move.before),
                "to": str(move.after),
                "reason": move.reason,
            }
            for move in channel.moves
        ],
        "waiting": len(channel.waiting),
        "clients": [_client(client) for client in channel.clients],
    }


def figures(channels: Iterable[Channel], totals: Mapping[str, int]) -> dict[str, float]:
    """Numbers for metrics: what was counted (`…_total`), how many channels are in each state, how many clients."""
    channels = list(channels)
    live = [client for channel in channels for client in channel.clients]
    found: dict[str, float] = {f"{name}_total": count for name, count in totals.items()}
    found["jumps_total"] += sum(client.cursor.jumps for client in live if client.cursor)
    for channel in channels:
        for name, count in counts_of(channel).items():
            found[f"{name}_total"] += count
    states = [channel.state for channel in channels]
    found |= {f"channels_{state}": states.count(state) for state in State if state is not State.IDLE}
    return found | {"clients": len(live), "channels_with_slate": sum(channel.slate_shown for channel in channels)}


def _client(client: Client) -> dict[str, object]:
    cursor = client.cursor
    return {
        "address": client.viewer.address,
        "user_agent": client.viewer.user_agent,
        "user": client.viewer.user or None,
        "lag_s": round(client.channel.ring.lag_s(cursor), 1) if cursor else 0.0,
        "jumps": cursor.jumps if cursor else 0,
        "bytes": client.bytes_sent,
        "since": client.since,
    }


def _moment(at_s: float, now_s: float, epoch_s: int) -> str:
    return iso(epoch_s - round(now_s - at_s))
