#!/usr/bin/env python3
"""What permessage-deflate (RFC 7692) would save on the messages that one player receives.

Start a server and a load, then: tools/bench/deflate.py [HOST:PORT [SECONDS]]

It joins as a player with two MOVEs a second, and compresses what it receives in three ways: every message alone, with a context
of 32 KiB that is kept between messages, and with the smallest context. All counts include the frames' headers.
"""

import random
import socket
import struct
import sys
import time
import zlib

MOVE_INTERVAL_S = 0.5
TAIL = b"\x00\x00\xff\xff"


def connect(address):
    host, port = address.rsplit(":", 1)
    stream = socket.create_connection((host, int(port)))
    stream.sendall(
        b"GET /ws HTTP/1.1\r\nHost: " + address.encode() + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    received = b""
    while b"\r\n\r\n" not in received:
        received += stream.recv(65536)
    head, rest = received.split(b"\r\n\r\n", 1)
    if b" 101 " not in head.split(b"\r\n")[0]:
        sys.exit(f"deflate.py: {address} refused the connection")
    return stream, rest


def move(sequence):
    payload = struct.pack("<BBI", 3, random.choice([1, 4, 9, 6]), sequence)
    return bytes([0x82, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def record(address, seconds):
    """Returns the payloads of the messages of this many seconds."""
    stream, received = connect(address)
    stream.settimeout(0.05)
    start, sequence = time.monotonic(), 0
    while (elapsed := time.monotonic() - start) < seconds:
        if elapsed >= sequence * MOVE_INTERVAL_S:
            sequence += 1
            stream.sendall(move(sequence))
        try:
            received += stream.recv(65536)
        except TimeoutError:
            pass
    payloads, at = [], 0
    while at + 2 <= len(received):
        length, head = received[at + 1], 2
        if length == 126:
            length, head = struct.unpack(">H", received[at + 2 : at + 4])[0], 4
        payload = received[at + head : at + head + length]
        if received[at] == 0x82 and len(payload) == length:
            payloads.append(payload)
        at += head + length
    return payloads


def header(length):
    return 2 if length < 126 else 4


def compressed(payloads, window_bits, memory_level, keeps_context):
    """Returns the bytes on the wire, and the time per message in microseconds."""
    make = lambda: zlib.compressobj(6, zlib.DEFLATED, -window_bits, memory_level)
    total, context, spent_s = 0, make(), 0.0
    for payload in payloads:
        start = time.perf_counter()
        context = context if keeps_context else make()
        packed = (context.compress(payload) + context.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
        spent_s += time.perf_counter() - start
        # A message that grows may be sent as it is, but not within a context: the client needs every message for it.
        length = len(packed) if keeps_context else min(len(packed), len(payload))
        total += length + header(length)
    return total, spent_s / len(payloads) * 1e6


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8108"
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    payloads = record(address, seconds)
    plain = sum(len(payload) + header(len(payload)) for payload in payloads)
    print(f"{len(payloads)} messages, {plain} bytes in {seconds:g} s")
    for name, window_bits, memory_level, keeps_context in [
        ("every message alone", 15, 8, False),
        ("context of 32 KiB", 15, 8, True),
        ("context of 512 bytes", 9, 1, True),
    ]:
        total, time_us = compressed(payloads, window_bits, memory_level, keeps_context)
        # zlib's own formula (zconf.h), for the compressor.
        memory = (1 << (window_bits + 2)) + (1 << (memory_level + 9)) if keeps_context else 0
        print(f"{name}: {100 * (1 - total / plain):.1f} % saved, {memory / 1024:g} KiB per client, {time_us:.1f} us per message")


main()
