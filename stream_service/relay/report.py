"""How the relay looks from outside: plain values made of channels and clients, addresses without their secrets."""

from collections.abc import Iterable, Mapping

from servicekit.clock import iso
from servicekit.redact import redact
from stream_service.domain.watching import End, Via, Watched
from stream_service.relay.bandwidth import Limits
from stream_service.relay.channel import Channel
from stream_service.relay.client import Client
from stream_service.relay.states import State

TOTALS = (
    "joins", "refused", "left", "stuck", "too_slow", "jumps", "sent_bytes", "reconnects", "switches", "slates", "moves",
    "no_slot", "preempted", "cut_short", *(f"moves_to_{state}" for state in State),
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
        "number": client.number,
        "address": client.viewer.address,
        "user_agent": client.viewer.user_agent,
        "user": client.viewer.user or None,
        "lineup": client.viewer.lineup or None,
        "tuner": client.viewer.tuner or None,
        "via": str(client.viewer.via),
        "lag_s": round(client.channel.ring.lag_s(cursor), 1) if cursor else 0.0,
        "jumps": cursor.jumps if cursor else 0,
        "bytes": client.bytes_sent,
        "since": iso(client.since),
    }


def who(client: Client) -> dict[str, object]:
    """A client in an event."""
    viewer, channel = client.viewer, client.channel.target
    return {
        "channel_id": channel.id,
        "channel": channel.name,
        "number": client.number,
        "address": viewer.address,
        "user_agent": viewer.user_agent,
        "user": viewer.user or None,
        "lineup": viewer.lineup or None,
        "via": str(viewer.via),
    }


def watched(client: Client, end: End, now_s: float) -> Watched:
    """The viewing of a client that was started and is over."""
    viewer, channel, started_s = client.viewer, client.channel, client.started_at_s or now_s
    ident, _, profile = channel.target.id.partition("~")
    address = channel.address
    switches, slates = client.began
    wait_s = started_s - client.asked_at_s
    return Watched(
        channel_id=ident,
        channel=channel.target.name,
        lineup=viewer.lineup,
        profile=profile,
        via=viewer.via,
        user=viewer.user,
        address=viewer.address,
        user_agent=viewer.user_agent,
        source_id=address.source_id if address else None,
        stream_id=address.id if address else None,
        started_at=client.since + round(wait_s),
        duration_s=round(now_s - started_s),
        wait_ms=round(wait_s * 1000),
        bytes_sent=client.bytes_sent,
        jumps=client.cursor.jumps if client.cursor else 0,
        switches=channel.failover.switches - switches,
        slates=channel.slates - slates,
        end=end,
    )


def how_well(over: Watched) -> dict[str, object]:
    """What an event says of a viewing that is over."""
    return {
        "end": str(over.end),
        "duration_s": over.duration_s,
        "bytes": over.bytes_sent,
        "jumps": over.jumps,
    }


def move(channel: Channel, epoch_s: int) -> dict[str, object]:
    """The channel's last move in an event."""
    last = channel.moves[-1]
    return {
        "channel_id": channel.target.id,
        "channel": channel.target.name,
        "from": str(last.before),
        "to": str(last.after),
        "reason": last.reason,
        "at": iso(epoch_s),
    }


def bandwidth(limits: Limits, mbps: float, sent_bytes: int, channels: Iterable[Channel]) -> dict[str, object]:
    """What is allowed and what is sent; a limit is None where there is none."""
    people = sum(client.viewer.via is not Via.INSIDE for channel in channels for client in channel.clients)
    return {
        "enabled": limits.enabled,
        "limit_mbps": limits.total_mbps or None,
        "client_limit_mbps": limits.client_mbps or None,
        "current_mbps": round(mbps, 3),
        "total_bytes": sent_bytes,
        "clients": people,
    }


def _moment(at_s: float, now_s: float, epoch_s: int) -> str:
    return iso(epoch_s - round(now_s - at_s))
