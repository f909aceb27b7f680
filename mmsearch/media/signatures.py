"""Magic bytes of binary files: the loader of each format, or the reason why it is refused."""

from __future__ import annotations

from mmsearch.media.strings import split_words

RAW_SUFFIXES = frozenset(
    split_words("""
    .dng .cr2 .cr3 .crw .nef .nrw .arw .sr2 .srf .raf .orf .rw2 .rwl .pef .srw .3fr .fff .iiq
    .mos .mef .mrw .x3f .erf .kdc .dcr .dcs .gpr
    """)
)
IMAGE_SUFFIXES = RAW_SUFFIXES | frozenset(
    split_words("""
    .tga .icb .vda .vst .png .jpg .jpeg .jpe .jfif .gif .bmp .dib .tif .tiff .webp .ico .cur
    .psd .ppm .pgm .pbm .pnm .pfm .pcx .dcx .dds .fli .flc .sgi .rgb .rgba .bw .qoi .icns
    .jp2 .j2k .jpx .xpm .xbm .msp .im .pcd .ras .avif .avifs .heic .heif .hif .fits .fit
    .blp .ftc .gbr .jxl
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

# Magic bytes by their offset.
# fmt: off
_IMAGES = {
    0: (
        *b"GIF87a GIF89a 8BPS qoif icns DanM LinS BLP1 BLP2 FTEX".split(),
        b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"DDS ",
        b"\x01\xda", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xb1\x68\xde\x3a",
        b"\x59\xa6\x6a\x95", b"\x80\xe8\0\0", b"P7 332", b"Image type:", b"SIMPLE  =",
    ),
    4: (b"\x11\xaf", b"\x12\xaf"),
    20: (b"GIMP",),
    2048: (b"PCD_",),
}
_AV = {
    0: (
        *b"OggS fLaC ID3 RF64 BW64 caff #!AMR .snd FRM8 MP+ MPCK TTA1 TTA2 wvpk tBaK".split(),
        *b".RMF DKIF YUV4MPEG2 BIKi SMK2 APETAGEX".split(),
        b"\x1aE\xdf\xa3", b"riff\x2e\x91\xcf\x11", b"FLV\x01", b"0&\xb2u\x8ef\xcf\x11", b"DSD ",
        b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\0\0\0\x01\x67", b"\0\0\0\x01\x40\x01", b"MAC ",
        b".ra\xfd", b"nut/multimedia container\0", b"\x06\x0e\x2b\x34\x02\x05\x01\x01",
        b"Creative Voice File\x1a", b"\x0b\x77", b"\x7f\xfe\x80\x01",
    ),
    4: tuple(b"moov mdat wide free skip pnot".split()),
}
# fmt: on
_MACH_O = (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe")
_REFUSED = {
    "an executable": (b"\x7fELF", b"MZ", *_MACH_O),
    "compiled code": (b"\xca\xfe\xba\xbe", b"\0asm"),
    "a font": (b"OTTO", b"\0\x01\0\0\0", b"true\0", b"ttcf", b"wOFF", b"wOF2"),
    "an archive (gzip)": (b"\x1f\x8b",),
    "an archive (bzip2)": (b"BZh",),
    "an archive (xz)": (b"\xfd7zXZ\0",),
    "an archive (7z)": (b"7z\xbc\xaf\x27\x1c",),
    "an archive (rar)": (b"Rar!\x1a\x07",),
    "an archive (zstd)": (b"\x28\xb5\x2f\xfd",),
    "an archive (lz4)": (b"\x04\x22\x4d\x18",),
    "an archive (cab)": (b"MSCF",),
    "an archive (ar)": (b"!<arch>\n",),
    "a database": (b"SQLite format 3\0",),
    "PostScript is a program: it is not run": (b"\xc5\xd0\xd3\xc6", b"%!PS"),
    "MIDI has notes and no sound": (b"MThd",),
    "HDF5 is not read": (b"\x89HDF\r\n\x1a\n",),
    "GRIB is not read": (b"GRIB",),
    "BUFR is not read": (b"BUFR",),
    "Windows metafiles are drawings that are not rendered": (
        b"\xd7\xcd\xc6\x9a",
        b"\x01\0\0\0\x6c\0\0\0",
    ),
}
JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
# Fujifilm, Olympus, Panasonic, Minolta and Sigma; the other makers build on TIFF.
_CAMERA_RAWS = (
    *(b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"\0MRM", b"FOVb"),
    b"II\x1a\0\0\0HEAPCCDR",
)
_TAR_OFFSET = 257
_STILL_BRANDS = frozenset(
    b"heic heix hevc hevx heim heis hevm hevs mif1 mif2 msf1 avif avis".split()
)


def find_refusal(head: bytes) -> str | None:
    """Returns the reason why a binary file that begins with `head` is not read, or None."""
    if head.startswith(b"ustar", _TAR_OFFSET):
        return "an archive (tar)"
    for reason, magics in _REFUSED.items():
        if head.startswith(magics):
            return reason
    if head[:4] == b"RIFF" and head[8:12] in (b"RMID", b"ACON", b"sfbk"):
        return "a RIFF file without sound or pictures"
    return None


def find_loader_name(head: bytes) -> str | None:
    """Returns the name of the loader for a binary file that begins with `head`, or None."""
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head[:4] in (b"RIFF", b"RIFX"):
        return "image" if head[8:12] == b"WEBP" else "av"
    if head[:4] == b"FORM":
        return "av" if head[8:12] in (b"AIFF", b"AIFC", b"8SVX") else None
    if is_camera_raw(head) or head.startswith(JPEG_XL):
        return "image"
    if head[4:8] == b"ftyp":
        return "image" if _has_still_brand(head) else "av"
    if _is_image(head):
        return "image"
    is_av = any(head.startswith(magics, offset) for offset, magics in _AV.items())
    return "av" if is_av or _is_transport_stream(head) or _is_mpeg_audio(head) else None


def is_camera_raw(head: bytes) -> bool:
    """Tests for the marks of camera RAW files; many have only those of TIFF."""
    is_canon = (head[8:10] == b"CR" and head[:2] == b"II") or head[4:11] == b"ftypcrx"
    return is_canon or head.startswith(_CAMERA_RAWS)


def _has_still_brand(head: bytes) -> bool:
    # Some writers have a general major brand, and "heic" among the compatible brands. But live
    # photographs also list "mif1" as compatible: it counts only as the major brand.
    if head[8:12] in _STILL_BRANDS:
        return True
    end = min(int.from_bytes(head[:4], "big"), 256)
    brands = {head[at : at + 4] for at in range(16, end - 3, 4)}
    return head[8:12] not in (b"isom", b"mp42", b"qt  ") and bool(brands & {b"heic", b"avif"})


def _is_image(head: bytes) -> bool:
    if any(head.startswith(magics, offset) for offset, magics in _IMAGES.items()):
        return True
    if head[:2] == b"BM" and len(head) >= 26:
        return 12 <= int.from_bytes(head[14:18], "little") <= 256
    if head[:1] == b"P" and head[1:2] in b"123456fFy" and head[2:3] in b" \t\r\n#0":
        return True
    if head[:1] == b"\x0a" and head[1:2] in b"\0\x02\x03\x05" and head[2:3] == b"\x01":
        return True
    if head[:4] in (b"\0\0\x01\0", b"\0\0\x02\0"):
        # The count of icons; a TGA with the same first bytes has zeros there.
        return 0 < int.from_bytes(head[4:6], "little") <= 512
    return len(head) >= 18 and _is_targa(head)


def _is_targa(head: bytes) -> bool:
    """Tests if the header fields are those of a TGA, which has no magic, and it has a size."""
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
    """Tests for a frame header of MPEG audio or ADTS AAC, and another behind that frame."""
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
