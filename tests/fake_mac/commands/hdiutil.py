"""hdiutil: attach, detach, info.

`info -plist` has no `images` where nothing is attached, and may tell less than there is while others attach.
"""
import os, plistlib, sys

from disks import SCHEME, Busy, NoFile, NothingToMount
from state import Unknown


def run(mac, words):
    verbs = {"attach": attach, "detach": detach, "info": info}
    if not words or words[0] not in verbs:
        raise Unknown("no such verb")
    return verbs[words[0]](mac, words[1:])


def attach(mac, words):
    mount, read_only, block_size, file, as_plist = True, False, 512, None, False
    words = iter(words)
    for word in words:
        if word == "-plist":
            as_plist = True
        elif word in ("-noverify", "-nobrowse", "-noautoopen", "-noautofsck"):
            pass
        elif word == "-imagekey":
            if next(words) != "diskimage-class=CRawDiskImage":
                raise Unknown("another key of images")
        elif word == "-owners":
            if next(words) not in ("on", "off"):
                raise Unknown("owners are on or off")
        elif word == "-blocksize":
            block_size = int(next(words))
        elif word == "-readonly":
            read_only = True
        elif word == "-nomount":
            mount = False
        elif word.startswith("-") or file is not None:
            raise Unknown(f"what is {word}?")
        else:
            file = word
    if file is None or not as_plist:
        raise Unknown("a file, and -plist")
    mac.take_time("attach-slow")
    try:
        name = mac.disks.of_file(file) or mac.disks.attach(file, block_size, read_only, mount)
    except NoFile:
        return failed(mac, "attach failed - No such file or directory")
    except NothingToMount:
        return failed(mac, "attach failed - no mountable file systems")
    answer({"system-entities": mac.disks.entities(name)})
    return 0


def detach(mac, words):
    force = "-force" in words
    devices = [word for word in words if not word.startswith("-")]
    if len(devices) != 1 or set(words) - {"-force", *devices}:
        raise Unknown("one device, and -force")
    name = mac.disks.named(devices[0])
    if name is None:
        return failed(mac, "detach failed - No such file or directory")
    if mac.state.spend("detach-busy"):
        return failed(mac, f'couldn\'t eject "{name}" - Resource busy', 16)
    try:
        mac.disks.unmount(name, force)
        print(f'"{name}" unmounted.')
        mac.disks.detach(name)
        print(f'"{name}" ejected.')
        return 0
    except Busy:
        return failed(mac, f'couldn\'t unmount "{name}" - Resource busy', 16)


def info(mac, words):
    if words != ["-plist"]:
        raise Unknown("only info -plist")
    mac.take_time("info-slow")
    if mac.state.spend("info-cut-short"):
        entities = [{"dev-entry": "/dev/disk2", "content-hint": SCHEME}]
        answer({"images": [{"image-path": "/Users/jo/other.dmg", "system-entities": entities}]})
        return 0
    images = [
        {
            "autodiskmount": True,
            "blocksize": record["block_size"],
            "diskimages2": False,
            "hdid-pid": record["helper"],
            "image-path": record["file"],
            "image-type": "read/write",
            "owner-uid": os.getuid(),
            "system-entities": mac.disks.entities(name),
            "writeable": not record["read_only"],
        }
        for name, record in mac.disks.records().items()
        if record["helper"] is not None
    ]
    document = {"framework": "683.100.3", "revision": "10.13v6"}
    if images:
        document["images"] = images
    answer(document)
    return 0


def answer(document):
    sys.stdout.flush()
    plistlib.dump(document, sys.stdout.buffer)


def failed(mac, why, code=1):
    print(mac.say(f"hdiutil: {why}"), file=sys.stderr)
    return code
