"""The magic bytes of binary files: what is read by which loader, and what is refused and why."""

from __future__ import annotations

from mmsearch.media.strings import split_words

IMAGE_SUFFIXES = frozenset(
    split_words("""
    .tga .icb .vda .vst .png .jpg .jpeg .jpe .jfif .gif .bmp .dib .tif .tiff .webp .ico .cur
    .psd .ppm .pgm .pbm .pnm .pfm .pcx .dcx .dds .fli .flc .sgi .rgb .rgba .bw .qoi .icns
    .jp2 .j2k .jpx .xpm .xbm .msp .im .pcd .ras .avif .avifs .heic .heif .hif .fits .fit
    .blp .ftc .gbr
    """)
)
AV_SUFFIXES = frozenset(
    split_words("""
    .mp3 .mp2 .mp1 .m4a .m4b .aac .ac3 .eac3 .dts .flac .wav .wma .ogg .oga .opus .spx .ape
    .wv .tta .tak .mpc .mp+ .mpp .dsf .dff .amr .aif .aiff .aifc .au .snd .caf .w64 .mka .ra
    .voc .gsm .mp4 .m4v .mov .qt .mkv .webm .avi .divx .wmv .asf .flv .f4v .mpg .mpeg .mpe
    .m1v .m2v .vob .ts .m2ts .mts .3gp .3g2 .ogv .ogm .rm .rmvb .dv .mxf .nut .y4m .ivf
    .h264 .264 .h265 .hevc .265 .mj2 .wtv .amv .nsv .mjpeg .mjpg .bik .smk .roq
    """)
)
SOURCE_SUFFIXES = frozenset(
    split_words("""
    .py .js .ts .c .h .cc .cpp .hpp .rs .go .java .rb .php .pl .sh .md .txt .csv .json .rst
    .log .tex .xml .yml .yaml .toml
    """)
)

_IMAGES = (
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"\xff\xd8\xff"),
    (0, b"GIF87a"),
    (0, b"GIF89a"),
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (0, b"II+\0"),
    (0, b"MM\0+"),
    (0, b"8BPS"),
    (0, b"DDS "),
    (0, b"\x01\xda"),
    (0, b"qoif"),
    (0, b"icns"),
    (0, b"\xff\x4f\xff\x51"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n"),
    (0, b"\xb1\x68\xde\x3a"),
    (0, b"\x59\xa6\x6a\x95"),
    (0, b"DanM"),
    (0, b"LinS"),
    (0, b"\x80\xe8\0\0"),
    (0, b"BLP1"),
    (0, b"BLP2"),
    (0, b"FTEX"),
    (0, b"P7 332"),
    (0, b"Image type:"),
    (0, b"SIMPLE  ="),
    (4, b"\x11\xaf"),
    (4, b"\x12\xaf"),
    (20, b"GIMP"),
    (2048, b"PCD_"),
)
_AV = (
    (0, b"\x1aE\xdf\xa3"),
    (0, b"OggS"),
    (0, b"fLaC"),
    (0, b"ID3"),
    (0, b"RF64"),
    (0, b"BW64"),
    (0, b"riff\x2e\x91\xcf\x11"),
    (0, b"FLV\x01"),
    (0, b"0&\xb2u\x8ef\xcf\x11"),
    (0, b"\0\0\x01\xba"),
    (0, b"\0\0\x01\xb3"),
    (0, b"\0\0\0\x01\x67"),
    (0, b"\0\0\0\x01\x40\x01"),
    (0, b"caff"),
    (0, b"#!AMR"),
    (0, b".snd"),
    (0, b"DSD "),
    (0, b"FRM8"),
    (0, b"MP+"),
    (0, b"MPCK"),
    (0, b"MAC "),
    (0, b"TTA1"),
    (0, b"TTA2"),
    (0, b"wvpk"),
    (0, b"tBaK"),
    (0, b".RMF"),
    (0, b".ra\xfd"),
    (0, b"DKIF"),
    (0, b"YUV4MPEG2"),
    (0, b"nut/multimedia container\0"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01"),
    (0, b"Creative Voice File\x1a"),
    (0, b"\x0b\x77"),
    (0, b"\x7f\xfe\x80\x01"),
    (0, b"BIKi"),
    (0, b"SMK2"),
    (0, b"APETAGEX"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (4, b"free"),
    (4, b"skip"),
    (4, b"pnot"),
)
_REFUSED = (
    (0, b"\x7fELF", "an executable"),
    (0, b"MZ", "an executable"),
    (0, b"\xfe\xed\xfa\xce", "an executable"),
    (0, b"\xfe\xed\xfa\xcf", "an executable"),
    (0, b"\xcf\xfa\xed\xfe", "an executable"),
    (0, b"\xce\xfa\xed\xfe", "an executable"),
    (0, b"\xca\xfe\xba\xbe", "compiled code"),
    (0, b"\0asm", "compiled code"),
    (0, b"OTTO", "a font"),
    (0, b"\0\x01\0\0\0", "a font"),
    (0, b"true\0", "a font"),
    (0, b"ttcf", "a font"),
    (0, b"wOFF", "a font"),
    (0, b"wOF2", "a font"),
    (0, b"\x1f\x8b", "an archive (gzip)"),
    (0, b"BZh", "an archive (bzip2)"),
    (0, b"\xfd7zXZ\0", "an archive (xz)"),
    (0, b"7z\xbc\xaf\x27\x1c", "an archive (7z)"),
    (0, b"Rar!\x1a\x07", "an archive (rar)"),
    (0, b"\x28\xb5\x2f\xfd", "an archive (zstd)"),
    (0, b"\x04\x22\x4d\x18", "an archive (lz4)"),
    (0, b"MSCF", "an archive (cab)"),
    (0, b"!<arch>\n", "an archive (ar)"),
    (257, b"ustar", "an archive (tar)"),
    (0, b"SQLite format 3\0", "a database"),
    (
        0,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "old Office files are not read: save it as DOCX or PDF",
    ),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript is a program: it is not run"),
    (0, b"%!PS", "PostScript is a program: it is not run"),
    (0, b"MThd", "MIDI has notes and no sound"),
    (0, b"\xff\x0a", "JPEG XL is not read"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL is not read"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5 is not read"),
    (0, b"GRIB", "GRIB is not read"),
    (0, b"BUFR", "BUFR is not read"),
    (0, b"\xd7\xcd\xc6\x9a", "Windows metafiles are drawings that are not rendered"),
    (0, b"\x01\0\0\0\x6c\0\0\0", "Windows metafiles are drawings that are not rendered"),
    (0, b"FUJIFILMCCD-RAW", "camera raw files of this kind are not read"),
)
_STILL_BRANDS = frozenset(
    brand.encode()
    for brand in split_words("heic heix hevc hevx heim heis hevm hevs mif1 mif2 msf1 avif avis")
)


def find_refusal(head: bytes) -> str | None:
    """Why a binary file that begins with `head` is not read, or None where nothing speaks so."""
    for offset, magic, reason in _REFUSED:
        if head.startswith(magic, offset):
            return reason
    if head[4:8] == b"ftyp" and head[8:11] == b"crx":
        return "camera raw files of this kind are not read"
    if head[:4] == b"RIFF" and head[8:12] in (b"RMID", b"ACON", b"sfbk"):
        return "a RIFF file without sound or pictures"
    return None


def find_loader_name(head: bytes) -> str | None:
    """The loader for a binary file that begins with `head`, or None where no magic fits."""
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head[:4] in (b"RIFF", b"RIFX"):
        return "image" if head[8:12] == b"WEBP" else "av"
    if head[:4] == b"FORM":
        return "av" if head[8:12] in (b"AIFF", b"AIFC", b"8SVX") else None
    if head[4:8] == b"ftyp":
        return "image" if _has_still_brand(head) else "av"
    if _is_image(head):
        return "image"
    if any(head.startswith(magic, offset) for offset, magic in _AV):
        return "av"
    if _is_transport_stream(head) or _is_mpeg_audio(head):
        return "av"
    return None


def _has_still_brand(head: bytes) -> bool:
    # Some writers put a general major brand first and the telling one among the compatible ones;
    # but "mif1" there also stands in live photographs, so only the major one decides for "mif1".
    if head[8:12] in _STILL_BRANDS:
        return True
    end = min(int.from_bytes(head[:4], "big"), 256)
    brands = {head[at : at + 4] for at in range(16, end - 3, 4)}
    return head[8:12] not in (b"isom", b"mp42", b"qt  ") and bool(brands & {b"heic", b"avif"})


def _is_image(head: bytes) -> bool:
    if any(head.startswith(magic, offset) for offset, magic in _IMAGES):
        return True
    if head[:2] == b"BM" and len(head) >= 26:
        return 12 <= int.from_bytes(head[14:18], "little") <= 256
    if head[:1] == b"P" and head[1:2] in b"123456fFy" and head[2:3] in b" \t\r\n#0":
        return True
    if head[:1] == b"\x0a" and head[1:2] in b"\0\x02\x03\x05" and head[2:3] == b"\x01":
        return True
    if head[:4] in (b"\0\0\x01\0", b"\0\0\x02\0"):
        # A count of icons: a TGA that begins alike has zeros there.
        return 0 < int.from_bytes(head[4:6], "little") <= 512
    return len(head) >= 18 and _is_targa(head)


def _is_targa(head: bytes) -> bool:
    """TGA has no magic: every field of its header must make sense, and it must have a size."""
    palette, kind, depth = head[1], head[2], head[16]
    if (
        kind not in (1, 2, 3, 9, 10, 11)
        or palette not in (0, 1)
        or depth not in (8, 15, 16, 24, 32)
    ):
        return False
    if palette == 0 and head[3:8] != bytes(5):
        return False
    if palette == 1 and (head[7] not in (15, 16, 24, 32) or kind not in (1, 9)):
        return False
    width, height = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    return 0 < width <= 32768 and 0 < height <= 32768 and head[17] & 0xC0 == 0


def _is_transport_stream(head: bytes) -> bool:
    for first, step in ((0, 188), (4, 192)):
        marks = head[first : first + step * 8 : step]
        if len(marks) >= 3 and set(marks) == {0x47}:
            return True
    return False


_BITRATES = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _is_mpeg_audio(head: bytes) -> bool:
    """A frame header of MPEG audio or AAC in ADTS, and another where the first frame ends."""
    if len(head) < 7 or head[0] != 0xFF:
        return False
    if head[1] & 0xF6 == 0xF0:
        length = ((head[3] & 3) << 11) | (head[4] << 3) | (head[5] >> 5)
        return length > 7 and (length + 1 >= len(head) or head[length] == 0xFF)
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate_at, bitrate_at = head[2] >> 2 & 3, head[2] >> 4
    if (
        head[1] & 0xE0 != 0xE0
        or version == 1
        or layer == 0
        or rate_at == 3
        or not 0 < bitrate_at < 15
    ):
        return False
    rate = _RATES[version][rate_at]
    bitrate = _BITRATES[3 if version == 3 else 2, layer][bitrate_at - 1] * 1000
    padding = head[2] >> 1 & 1
    if layer == 3:
        length = (12 * bitrate // rate + padding) * 4
    else:
        samples = 72 if layer == 1 and version != 3 else 144
        length = samples * bitrate // rate + padding
    return length + 1 >= len(head) or (head[length] == 0xFF and head[length + 1] & 0xE0 == 0xE0)
