#!/usr/bin/env python3
"""Makes installer packages for macOS with nothing but Python's library: no xar, no mkbom, no pkgbuild.

    product (xar): Distribution, NAME.pkg/ { PackageInfo, Bom, Payload (cpio.gz), Scripts (cpio.gz) }

The formats are Apple's and older than their documentation: xar (mackyle/xar), BOM (as lsbom reads it), cpio (POSIX
odc). A package without a payload has neither Bom nor Payload, and leaves no receipt. Everything is root:wheel's;
the same input gives the same bytes. Directories that are there already keep their owner and mode (overwrite-permissions):
/usr/local/bin and its like are a user's where Homebrew is on an Intel Mac.

usage: mkpkg.py --identifier ID --version V --title TEXT --scripts DIR [--root DIR] [--license FILE] OUT.pkg
       ROOT is laid out as /; SCRIPTS has preinstall, postinstall, or both, and what they read
"""
import argparse, gzip, hashlib, os, stat, struct, sys, zlib
from xml.sax.saxutils import escape, quoteattr

MINIMUM = "13.0"
# 2001-01-01, unless the build of a release sets another time.
MTIME = int(os.environ.get("SOURCE_DATE_EPOCH", "978307200"))


class Entry:
    """A path of a tree, as archives have it."""

    def __init__(self, root, path):
        self.path = path
        full = os.path.join(root, path)
        status = os.lstat(full)
        self.mode = status.st_mode
        if stat.S_ISLNK(self.mode):
            # A link's own mode is the system's affair; macOS says 0755.
            self.mode = stat.S_IFLNK | 0o755
            self.body = os.readlink(full).encode()
        elif stat.S_ISREG(self.mode):
            self.mode = stat.S_IFREG | (0o755 if status.st_mode & 0o100 else 0o644)
            with open(full, "rb") as file:
                self.body = file.read()
        elif stat.S_ISDIR(self.mode):
            self.mode = stat.S_IFDIR | 0o755
            self.body = b""
        else:
            sys.exit(f"{full} is neither a file, a directory nor a link")


def walk(root):
    """"." first, then each path after its parent, sorted."""
    entries = [Entry(root, ".")]
    for directory, directories, files in os.walk(root):
        directories.sort()
        for name in sorted(directories + files):
            entries.append(Entry(root, "./" + os.path.relpath(os.path.join(directory, name), root)))
    return entries


def cpio(entries):
    out = bytearray()

    def add(inode, name, mode, body):
        name = name.encode() + b"\0"
        out.extend(b"070707%06o%06o%06o%06o%06o%06o%06o%011o%06o%011o"
                   % (0, inode, mode, 0, 0, 1, 0, MTIME, len(name), len(body)) + name + body)

    for inode, entry in enumerate(entries, 1):
        add(inode, entry.path, entry.mode, entry.body)
    add(0, "TRAILER!!!", 0, b"")
    return gzip.compress(bytes(out), 9, mtime=0)


def crc_table():
    def step(value):
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        return value
    return [step(byte << 24) for byte in range(256)]


CRC = crc_table()


def cksum(body):
    """POSIX cksum, as lsbom shows it."""
    value, length = 0, len(body)
    for byte in body:
        value = ((value << 8) & 0xFFFFFFFF) ^ CRC[(value >> 24) ^ byte]
    while length:
        value = ((value << 8) & 0xFFFFFFFF) ^ CRC[(value >> 24) ^ (length & 255)]
        length >>= 8
    return value ^ 0xFFFFFFFF


def bom(entries):
    """A bill of materials: blocks, found by an index; named ones first, and in them trees of one leaf."""
    blocks = [b""]  # block 0 is none

    def add(block):
        blocks.append(block)
        return len(blocks) - 1

    def tree(size, leaf_entries):
        leaf = add(struct.pack(">HHII", 1, len(leaf_entries), 0, 0)
                   + b"".join(struct.pack(">II", *entry) for entry in leaf_entries))
        return struct.pack(">4sIIIIB", b"tree", 1, leaf, size, len(leaf_entries), 0)

    if len(entries) > 256:
        sys.exit("more than 256 paths: the bill of materials needs a tree of two levels, which this script does not write")
    paths, ids = [], {"": 0}
    for entry in entries:
        ids[entry.path] = len(ids)
        kind = {stat.S_IFDIR: 2, stat.S_IFLNK: 3, stat.S_IFREG: 1}[stat.S_IFMT(entry.mode)]
        link = entry.body + b"\0" if kind == 3 else b""
        facts = add(struct.pack(">BBHHIIIIBII", kind, 1, 3, entry.mode, 0, 0, MTIME, 0 if kind == 2 else len(entry.body), 1,
                                0 if kind == 2 else cksum(entry.body), len(link)) + link)
        numbered = add(struct.pack(">II", ids[entry.path], facts))
        top = entry.path == "."
        parent = 0 if top else ids[os.path.dirname(entry.path)]
        name = "." if top else os.path.basename(entry.path)
        paths.append((numbered, add(struct.pack(">I", parent) + name.encode() + b"\0")))
    variables = [("BomInfo", add(struct.pack(">III4I", 1, len(paths) + 1, 1, 0, 0, 0, 0))),
                 ("Paths", add(tree(4096, paths))), ("HLIndex", add(tree(4096, []))),
                 ("VIndex", add(struct.pack(">IIIB", 1, add(tree(128, [])), 0, 0))), ("Size64", add(tree(4096, [])))]
    table = struct.pack(">I", len(variables)) + b"".join(
        struct.pack(">IB", block, len(name)) + name.encode() for name, block in variables)
    at, places, body = 512 + len(table), [], b""
    for block in blocks:
        places.append((at + len(body), len(block)) if block else (0, 0))
        body += block
    index = (struct.pack(">I", len(blocks)) + b"".join(struct.pack(">II", *place) for place in places)
             + struct.pack(">I4I", 0, 0, 0, 0, 0))
    head = struct.pack(">8sIIIIII", b"BOMStore", 1, len(blocks) - 1, at + len(body), len(index), 512, len(table))
    return head.ljust(512, b"\0") + table + body + index


def xar(tree):
    """{name: bytes, or the same again}"""
    heap, count = bytearray(20), 0

    def node(name, value):
        nonlocal count
        count += 1
        number = count
        if isinstance(value, dict):
            inner = "".join(node(*item) for item in value.items())
            return f'<file id="{number}"><name>{escape(name)}</name><type>directory</type><mode>0755</mode>{inner}</file>'
        digest, offset = hashlib.sha1(value).hexdigest(), len(heap)
        heap.extend(value)
        return (f'<file id="{number}"><name>{escape(name)}</name><type>file</type><mode>0644</mode><data>'
                f'<length>{len(value)}</length><offset>{offset}</offset><size>{len(value)}</size>'
                f'<encoding style="application/octet-stream"/><extracted-checksum style="sha1">{digest}</extracted-checksum>'
                f'<archived-checksum style="sha1">{digest}</archived-checksum></data></file>')

    files = "".join(node(*item) for item in tree.items())
    contents = ('<?xml version="1.0" encoding="UTF-8"?>\n<xar><toc><checksum style="sha1"><offset>0</offset><size>20</size>'
                f'</checksum><creation-time>2001-01-01T00:00:00</creation-time>{files}</toc></xar>').encode()
    packed = zlib.compress(contents, 9)
    heap[:20] = hashlib.sha1(packed).digest()
    return struct.pack(">4sHHQQI", b"xar!", 28, 1, len(packed), len(contents), 1) + packed + bytes(heap)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    for option in ("identifier", "version", "title", "scripts"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--root")
    parser.add_argument("--license")
    parser.add_argument("out")
    words = parser.parse_args()

    identifier, version = quoteattr(words.identifier), quoteattr(words.version)
    scripts = walk(words.scripts)
    steps = [step for step in ("preinstall", "postinstall") if any(entry.path == f"./{step}" for entry in scripts)]
    if not steps:
        sys.exit(f"{words.scripts} has neither preinstall nor postinstall")
    entries = walk(words.root) if words.root else []
    kib = sum(len(entry.body) for entry in entries) // 1024
    payload = f'  <payload numberOfFiles="{len(entries)}" installKBytes="{kib}"/>\n' if words.root else ""
    run = "".join(f'    <{step} file="./{step}"/>\n' for step in steps)
    info = (f'<?xml version="1.0" encoding="utf-8"?>\n<pkg-info overwrite-permissions="false" relocatable="false" identifier={identifier} '
            f'postinstall-action="none" version={version} format-version="2" install-location="/" auth="root">\n'
            f'{payload}  <scripts>\n{run}  </scripts>\n</pkg-info>\n')
    component = {"PackageInfo": info.encode()}
    if words.root:
        component.update({"Bom": bom(entries), "Payload": cpio(entries)})
    component["Scripts"] = cpio(scripts)

    name = words.identifier.rsplit(".", 1)[-1] + ".pkg"
    title, resources, licence = escape(words.title), {}, ""
    if words.license:
        with open(words.license, "rb") as text:
            resources["license.txt"] = text.read()
        licence = '  <license file="license.txt" mime-type="text/plain"/>\n'
    distribution = (
        f'<?xml version="1.0" encoding="utf-8"?>\n<installer-gui-script minSpecVersion="2">\n  <title>{title}</title>\n{licence}'
        '  <options customize="never" require-scripts="false" hostArchitectures="x86_64,arm64"/>\n'
        '  <domains enable_localSystem="true"/>\n'
        f'  <volume-check><allowed-os-versions><os-version min="{MINIMUM}"/></allowed-os-versions></volume-check>\n'
        f'  <choices-outline><line choice="default"/></choices-outline>\n  <choice id="default" title={quoteattr(words.title)}>'
        f'<pkg-ref id={identifier}/></choice>\n  <pkg-ref id={identifier} version={version} installKBytes="{kib}" '
        f'onConclusion="none">#{name}</pkg-ref>\n</installer-gui-script>\n')
    product = {"Distribution": distribution.encode()}
    if resources:
        product["Resources"] = resources
    product[name] = component
    with open(words.out, "wb") as out:
        out.write(xar(product))


if __name__ == "__main__":
    main()
