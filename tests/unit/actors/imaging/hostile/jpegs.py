"""JPEGs that lie. Sources of the syntax: ITU-T T.81, annex B, and for their segments Exif 3.0 and CIPA DC-007 (MPF)."""

from __future__ import annotations

import struct
from functools import cache

from tests.unit.actors.imaging.hostile.case import CORRUPT, KEPT_ONLY, PIXELS, READABLE, Hostile, ends
from tests.unit.actors.imaging.pictures import flat, photo, save

SOF0, SOF2, SOF3, SOF9, DHT, DAC, EOI, SOS, DQT, DNL, DRI = (
    0xC0,
    0xC2,
    0xC3,
    0xC9,
    0xC4,
    0xCC,
    0xD9,
    0xDA,
    0xDB,
    0xDC,
    0xDD,
)
APP1, APP2, APP14, COM = 0xE1, 0xE2, 0xEE, 0xFE
SOI = b"\xff\xd8"
FULL = 65_533


@cache
def plain(**how: object) -> bytes:
    return save(photo(), "JPEG", quality=85, **how)


def marker(code: int) -> bytes:
    return bytes([0xFF, code])


def segment(code: int, payload: bytes) -> bytes:
    return marker(code) + (len(payload) + 2).to_bytes(2, "big") + payload


def with_segments(*segments: bytes, source: bytes | None = None) -> bytes:
    """Make a picture with more segments behind its start."""
    body = plain() if source is None else source
    return SOI + b"".join(segments) + body[2:]


def patched(code: int, offset: int, new: bytes, source: bytes | None = None) -> bytes:
    """Make a picture with other bytes in one segment, at an offset from its marker."""
    body = bytearray(plain() if source is None else source)
    at = body.index(marker(code)) + offset
    body[at : at + len(new)] = new
    return bytes(body)


def sized(width: int, height: int, code: int = SOF0) -> bytes:
    source = save(flat(9, "L", (16, 16)), "JPEG")
    return patched(SOF0, 1, bytes([code]), patched(SOF0, 5, struct.pack(">HH", height, width), source))


def without(code: int) -> bytes:
    """Make a picture that lacks all segments of a kind."""
    body = plain()
    while (at := body.find(marker(code))) >= 0:
        body = body[:at] + body[at + 2 + int.from_bytes(body[at + 2 : at + 4], "big") :]
    return body


def before_scan(*segments: bytes) -> bytes:
    at = plain().index(marker(SOS))
    return plain()[:at] + b"".join(segments) + plain()[at:]


def in_scan(noise: bytes) -> bytes:
    """Make a picture with more bytes in the middle of its coded pixels."""
    at = len(plain()) // 2
    return plain()[:at] + noise + plain()[at:]


def frame(code: int, width: int, height: int, colours: int = 1) -> bytes:
    components = b"".join(bytes([number, 0x11, 0]) for number in range(1, colours + 1))
    return segment(code, struct.pack(">BHHB", 8, height, width, colours) + components)


TABLES = b"".join(
    (
        segment(DQT, b"\x00" + b"\x01" * 64),
        segment(DHT, b"\x00" + bytes([1]) + bytes(15) + b"\x00"),
        segment(DHT, b"\x10" + bytes([1]) + bytes(15) + b"\xe0"),
    )
)
"""Tables of one code each. One means no difference to the block before, the other a run of blocks that end at once."""

REFINING = ((1, 63, 13), *((1, 63, bit << 4 | bit - 1) for bit in range(13, 0, -1)))
"""The first and last coefficient of each scan, and its known and new bits, from all bits down to the last one."""


def skipping_scans(width: int, height: int, count: int, *, refining: bool = False, colours: int = 1) -> bytes:
    """Make a progressive JPEG in which a few bytes a scan tell the decoder to pass over all blocks again.

    The only Huffman code stands for a run of 32,767 unchanged blocks. A refining scan looks at all of their
    coefficients.
    """
    blocks = -(-width // 8) * -(-height // 8)
    runs = ("0" + "1" * 14) * (blocks // 32_767 + 1)
    size = -(-len(runs) // 8)
    coded = int(runs.ljust(size * 8, "1"), 2).to_bytes(size, "big").replace(b"\xff", b"\xff\0")
    all_colours = b"".join(bytes([number, 0]) for number in range(1, colours + 1))
    first = segment(SOS, bytes([colours]) + all_colours + bytes(3)) + bytes(-(-blocks * colours // 8))
    plan = REFINING if refining else tuple((n, n, 0) for n in range(1, 64))
    scans = (
        segment(SOS, bytes([1, 1 + n % colours, 0, *plan[n // colours % len(plan)]])) + coded for n in range(count)
    )
    return SOI + frame(SOF2, width, height, colours) + TABLES + first + b"".join(scans) + marker(EOI)


def claims_only(width: int, height: int, scans: int) -> bytes:
    """Make a JPEG of hundreds of bytes. Its scans have no data, and the decoder makes it up."""
    empty = b"".join(segment(SOS, bytes([1, 1, 0, 1 + n % 63, 1 + n % 63, 0])) for n in range(scans))
    return SOI + frame(SOF2, width, height) + TABLES + empty + marker(EOI)


def exif(*entries: bytes, following: int = 0, first: int = 8) -> bytes:
    directory = struct.pack(">H", len(entries)) + b"".join(entries) + struct.pack(">I", following)
    return segment(APP1, b"Exif\0\0MM\0*" + struct.pack(">I", first) + directory)


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack(">HHII", tag, kind, count, value)


def icc(part: int, parts: int, payload: bytes) -> bytes:
    return segment(APP2, b"ICC_PROFILE\0" + bytes([part, parts]) + payload)


def icc_in_255_parts() -> bytes:
    return with_segments(*(icc(part, 255, bytes(FULL - 14)) for part in range(1, 256)))


def profile(tags: int, space: bytes = b"RGB ") -> bytes:
    """Return the header of a profile, with a count of tags that it does not have."""
    return (bytes(16) + space).ljust(36, b"\0") + b"acsp" + bytes(88) + struct.pack(">I", tags) + bytes(200)


def gain_map_bomb() -> bytes:
    xmp = b'<rdf:RDF xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" hdrgm:GainMapMax="9e99"/>'
    index = b"MPF\0MM\0*\0\0\0\x08\0\3" + entry(0xB000, 7, 4, 0x30313030) + entry(0xB001, 4, 1, 2)
    index += entry(0xB002, 7, 32, 50) + bytes(4) + struct.pack(">IIIHHIIIHH", 0x030000, 9, 0, 0, 0, 0, 9, 9, 0, 0)
    xmp_segment = segment(APP1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)
    return with_segments(xmp_segment, segment(APP2, index)) + sized(65_535, 65_535)


def mpf(images: int) -> bytes:
    index = b"MPF\0MM\0*\0\0\0\x08\0\2" + entry(0xB001, 4, 1, images) + entry(0xB002, 7, 2**32 - 1, 2**32 - 1)
    return with_segments(segment(APP2, index + bytes(4)))


def adobe(transform: int) -> bytes:
    return segment(APP14, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def cmyk(transform: int | None) -> bytes:
    source = save(photo().convert("CMYK"), "JPEG")
    at = source.index(marker(APP14))
    bare = source[:at] + source[at + 16 :]
    return bare if transform is None else with_segments(adobe(transform), source=bare)


def second_frame_behind_scan() -> bytes:
    return (
        plain()[:-2] + frame(SOF0, 65_535, 65_535) + segment(SOS, b"\x01\x01\x00\x00\x3f\x00") + bytes(20) + marker(EOI)
    )


BOTH = (CORRUPT, READABLE)
CASES: dict[str, Hostile] = {
    "jpeg 65,535 squared": ends(lambda: sized(65_535, 65_535), PIXELS),
    "jpeg 65,535 by 1": ends(lambda: sized(65_535, 1), PIXELS),
    "jpeg of 49 megapixels without data": ends(lambda: sized(7_000, 7_000), *BOTH),
    "jpeg of no height": ends(lambda: sized(16, 0), CORRUPT),
    "jpeg of no width": ends(lambda: sized(0, 16), CORRUPT),
    "jpeg with its height in DNL": ends(
        lambda: sized(160, 0)[:-2] + segment(DNL, struct.pack(">H", 120)) + marker(EOI), CORRUPT
    ),
    "jpeg with a DNL of 65,535": ends(lambda: plain()[:-2] + segment(DNL, b"\xff\xff") + marker(EOI), *BOTH),
    "progressive 30 megapixels": ends(lambda: sized(6_000, 5_000, SOF2), PIXELS),
    "progressive 20 megapixels, no data": ends(lambda: sized(5_000, 4_000, SOF2), CORRUPT),
    "progressive 65,000 squared, 40 empty scans": ends(lambda: claims_only(65_000, 65_000, 40), PIXELS),
    "progressive 20 megapixels, 20 empty scans": ends(lambda: claims_only(5_000, 4_000, 20), READABLE),
    "progressive 20 megapixels, 40 empty scans": ends(lambda: claims_only(5_000, 4_000, 40), PIXELS),
    "progressive 20 megapixels, 99 empty scans": ends(lambda: claims_only(5_000, 4_000, 99), PIXELS),
    "progressive 20 megapixels, 20 skipping scans": ends(lambda: skipping_scans(5_000, 4_000, 19), READABLE),
    "progressive 20 megapixels, 39 skipping scans": ends(lambda: skipping_scans(5_000, 4_000, 38), READABLE),
    "progressive 20 megapixels, 40 skipping scans": ends(lambda: skipping_scans(5_000, 4_000, 39), PIXELS),
    "progressive 20 megapixels, 99 skipping scans": ends(lambda: skipping_scans(5_000, 4_000, 98), PIXELS),
    "progressive 16,384 by 1,220, 20 skipping scans": ends(lambda: skipping_scans(16_384, 1_220, 19), READABLE),
    "progressive 16,384 by 1,220, 99 skipping scans": ends(lambda: skipping_scans(16_384, 1_220, 98), PIXELS),
    "progressive 20 megapixels, 39 refining scans": ends(
        lambda: skipping_scans(5_000, 4_000, 38, refining=True), READABLE, ways=KEPT_ONLY
    ),
    "progressive 20 megapixels, 99 refining scans": ends(
        lambda: skipping_scans(5_000, 4_000, 98, refining=True), PIXELS
    ),
    "progressive 15 megapixels of 4 colours, 20 refining scans": ends(
        lambda: skipping_scans(5_000, 3_000, 19, refining=True, colours=4), READABLE, ways=KEPT_ONLY
    ),
    "progressive 16 megapixels of 4 colours": ends(
        lambda: skipping_scans(5_000, 3_200, 1, refining=True, colours=4), PIXELS
    ),
    "progressive 15 megapixels of 9 colours": ends(
        lambda: skipping_scans(5_000, 3_000, 1, refining=True, colours=9), PIXELS
    ),
    "progressive 4 megapixels, 100 refining scans": ends(
        lambda: skipping_scans(2_000, 2_000, 99, refining=True), READABLE, ways=KEPT_ONLY
    ),
    "progressive with 5,000 scans": ends(lambda: skipping_scans(160, 120, 5_000), CORRUPT),
    "arithmetic coding": ends(lambda: patched(SOF0, 1, bytes([SOF9])), *BOTH),
    "arithmetic coding of 49 megapixels": ends(lambda: sized(7_000, 7_000, SOF9), *BOTH),
    "arithmetic conditioning garbage": ends(lambda: before_scan(segment(DAC, b"\xff" * 100)), CORRUPT),
    "12 bits": ends(lambda: patched(SOF0, 4, b"\x0c"), CORRUPT),
    "12 bits, extended": ends(lambda: patched(0xC1, 4, b"\x0c", patched(SOF0, 1, b"\xc1")), CORRUPT),
    "precision of 255 bits": ends(lambda: patched(SOF0, 4, b"\xff"), CORRUPT),
    "lossless jpeg": ends(lambda: patched(SOF0, 1, bytes([SOF3])), CORRUPT),
    "lossless jpeg of 49 megapixels": ends(lambda: sized(7_000, 7_000, SOF3), CORRUPT),
    "hierarchical jpeg": ends(lambda: patched(SOF0, 1, b"\xc5"), CORRUPT),
    "jpeg of 0 components": ends(lambda: patched(SOF0, 9, b"\x00"), CORRUPT),
    "jpeg of 255 components": ends(lambda: patched(SOF0, 9, b"\xff"), CORRUPT),
    "jpeg of 2 components": ends(lambda: patched(SOF0, 9, b"\x02"), CORRUPT),
    "sampling factors of 4 by 4": ends(lambda: patched(SOF0, 11, b"\x44"), *BOTH),
    "sampling factors of 0": ends(lambda: patched(SOF0, 11, b"\x00"), CORRUPT),
    "sampling factors of 15": ends(lambda: patched(SOF0, 11, b"\xff"), CORRUPT),
    "sampling factors of 3 by 1": ends(lambda: patched(SOF0, 11, b"\x31"), *BOTH),
    "a storm of restart markers": ends(lambda: in_scan(b"".join(marker(0xD0 + n % 8) for n in range(500_000))), *BOTH),
    "a restart interval of 1 that is not kept": ends(lambda: before_scan(segment(DRI, b"\0\1")), *BOTH),
    "a scan of 4 MB too much": ends(lambda: in_scan(bytes(4_000_000)), *BOTH),
    "no end marker": ends(lambda: plain()[:-2], *BOTH),
    "huge application segments": ends(lambda: with_segments(*[segment(0xEB, bytes(FULL))] * 160), READABLE),
    "comments of 10 MB": ends(lambda: with_segments(*[segment(COM, b"A" * FULL)] * 160), READABLE),
    "2 million empty comments": ends(lambda: with_segments(segment(COM, b"") * 2_000_000), CORRUPT, ways=KEPT_ONLY),
    "900,000 empty comments": ends(lambda: with_segments(segment(COM, b"") * 900_000), CORRUPT, ways=KEPT_ONLY),
    "99,000 empty comments": ends(lambda: with_segments(segment(COM, b"") * 99_000), READABLE, ways=KEPT_ONLY),
    "a million start markers": ends(lambda: SOI * 1_000_000 + plain(), CORRUPT, ways=KEPT_ONLY),
    "two start markers": ends(lambda: SOI + plain(), CORRUPT),
    "8 MB of fill bytes": ends(lambda: SOI + b"\xff" * 8_000_000 + plain()[2:], READABLE),
    "a second frame, giant": ends(lambda: before_scan(frame(SOF0, 65_535, 65_535)), CORRUPT, PIXELS),
    "a second frame behind the scan, giant": ends(second_frame_behind_scan, *BOTH, PIXELS),
    "a giant frame in front of the frame": ends(lambda: with_segments(frame(SOF0, 65_535, 65_535)), CORRUPT, PIXELS),
    "a thumbnail of 65,535 squared in EXIF": ends(
        lambda: with_segments(segment(APP1, b"Exif\0\0" + sized(65_535, 65_535)[:60_000])), READABLE
    ),
    "a segment of length 0": ends(lambda: with_segments(marker(APP2) + b"\0\0"), *BOTH),
    "a segment of length 1": ends(lambda: with_segments(marker(APP2) + b"\0\1"), *BOTH),
    "a segment longer than the file": ends(lambda: SOI + marker(APP2) + b"\xff\xff" + plain()[2:3_000], CORRUPT),
    "a frame longer than it is": ends(lambda: patched(SOF0, 2, b"\x40\x00"), CORRUPT),
    "Huffman tables of noise": ends(lambda: patched(DHT, 5, b"\xff" * 16), CORRUPT),
    "Huffman tables without codes": ends(lambda: patched(DHT, 5, bytes(16)), CORRUPT),
    "no Huffman tables": ends(lambda: without(DHT), *BOTH),
    "no quantisation tables": ends(lambda: without(DQT), CORRUPT),
    "a Huffman table of number 15": ends(lambda: patched(DHT, 4, b"\x0f"), CORRUPT),
    "a quantisation table of zeros": ends(lambda: patched(DQT, 5, bytes(64)), *BOTH),
    "a scan of components that there are not": ends(lambda: patched(SOS, 5, b"\x77"), CORRUPT),
    "a scan of 0 components": ends(lambda: patched(SOS, 4, b"\x00"), CORRUPT),
    "an ICC profile in 255 parts": ends(icc_in_255_parts, READABLE),
    "an ICC profile of part 9 of 1": ends(lambda: with_segments(icc(9, 1, bytes(500))), *BOTH),
    "an ICC profile of part 0 of 0": ends(lambda: with_segments(icc(0, 0, bytes(500))), *BOTH),
    "an ICC profile of 4 billion tags": ends(lambda: with_segments(icc(1, 1, profile(2**32 - 1))), READABLE),
    "an ICC profile for CMYK in RGB": ends(lambda: with_segments(icc(1, 1, profile(1, b"CMYK"))), READABLE),
    "an EXIF directory that follows itself": ends(lambda: with_segments(exif(following=8)), READABLE),
    "an EXIF sub-directory that is its parent": ends(lambda: with_segments(exif(entry(0x8769, 4, 1, 8))), READABLE),
    "an EXIF of 65,535 entries": ends(
        lambda: with_segments(segment(APP1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(60_000))), READABLE
    ),
    "an EXIF value of 4 billion parts": ends(lambda: with_segments(exif(entry(0x010F, 2, 2**32 - 1, 99))), READABLE),
    "an EXIF offset beyond the end": ends(lambda: with_segments(exif(first=2**32 - 1)), READABLE),
    "an orientation of 65,535": ends(lambda: with_segments(exif(entry(0x0112, 3, 1, 0xFFFF0000))), READABLE),
    "an orientation that is text": ends(lambda: with_segments(exif(entry(0x0112, 2, 4, 0x36363636))), READABLE),
    "MPF of 4 billion pictures": ends(lambda: mpf(2**32 - 1), READABLE),
    "an Ultra HDR gain map of 65,535 squared": ends(gain_map_bomb, READABLE),
    "Adobe says YCCK, three components": ends(lambda: with_segments(adobe(2)), READABLE),
    "Adobe says RGB": ends(lambda: with_segments(adobe(0)), READABLE),
    "Adobe says 255": ends(lambda: with_segments(adobe(255)), READABLE),
    "CMYK without Adobe": ends(lambda: cmyk(None), READABLE),
    "CMYK, Adobe says YCbCr": ends(lambda: cmyk(1), READABLE),
    "garbage of 10 MB behind the end": ends(lambda: plain() + bytes(10_000_000), READABLE),
}
