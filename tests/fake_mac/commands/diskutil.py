"""diskutil: eject, unmountDisk, mountDisk, info, image attach.

It asks diskarbitrationd, which the end of the machine may have ended: then there is no answer, for ever.
"""
import plistlib, re, signal, sys

from disks import Busy, NoFile, NothingToMount
from state import Unknown

WHOLE = re.compile(r"disk\d+|")


def run(mac, words):
    if mac.state.spend("diskutil-silent"):
        while True:
            signal.pause()
    mac.take_time("diskutil-slow")
    match words:
        case ["eject", device]:
            return with_disk(mac, device, eject)
        case ["unmountDisk", "force", device]:
            return with_disk(mac, device, lambda mac, name: unmount(mac, name, True))
        case ["unmountDisk", device]:
            return with_disk(mac, device, lambda mac, name: unmount(mac, name, False))
        case ["mountDisk", device]:
            return with_disk(mac, device, mount)
        case ["info", "-plist", device]:
            return info(mac, device)
        case ["image", "attach", *words]:
            return attach(mac, words)
    raise Unknown("no such verb")


def with_disk(mac, device, work):
    name = mac.disks.named(device)
    if name is None:
        print(mac.say(f"Unable to find disk for {device}"), file=sys.stderr)
        return 1
    try:
        return work(mac, name)
    except Busy as busy:
        lines = [f"Unmount of {name} failed: at least one volume could not be unmounted"]
        for process, program in busy.users[:1]:
            lines += [f"Unmount was dissented by PID {process} (/usr/bin/{program})", "Dissenter parent PPID 1 (/sbin/launchd)"]
        for line in lines:
            print(mac.say(line), file=sys.stderr)
        return 1


def unmount(mac, name, force):
    mac.disks.unmount(name, force)
    print(f"{'Forced unmount' if force else 'Unmount'} of all volumes on {name} was successful")
    return 0


def eject(mac, name):
    mac.disks.unmount(name)
    mac.disks.detach(name)
    print(mac.say(f"Disk /dev/{name} ejected"))
    return 0


def mount(mac, name):
    if not mac.disks.mount(name):
        print(mac.say("Volume(s) failed to mount"), file=sys.stderr)
        return 1
    print("Volume(s) mounted successfully")
    return 0


def info(mac, device):
    node = device.removeprefix("/dev/")
    synthesized = WHOLE.match(node).group() == mac.state.habit("container")
    shape = (4096, 209_715_200) if synthesized else mac.disks.shape(node)
    if shape is None:
        answer({"Error": True, "ErrorMessage": f"Could not find disk: {device}"})
        return 1
    block_size, size = shape
    answer(
        {
            "BusProtocol": "Disk Image",
            "DeviceBlockSize": block_size,
            "DeviceIdentifier": node,
            "DeviceNode": f"/dev/{node}",
            "Size": size,
            "TotalSize": size,
            "VirtualOrPhysical": "Virtual" if synthesized else "Unknown",
            "WholeDisk": WHOLE.fullmatch(node) is not None,
        }
    )
    return 0


def attach(mac, words):
    options, files = [w for w in words if w.startswith("--")], [w for w in words if not w.startswith("--")]
    if len(files) != 1 or set(options) - {"--plist", "--readOnly", "--noMount"}:
        raise Unknown("one file, --plist, --readOnly, --noMount")
    try:
        name = mac.disks.of_file(files[0]) or mac.disks.attach(
            files[0], 512, "--readOnly" in options, "--noMount" not in options
        )
    except (NoFile, NothingToMount) as error:
        why = "No such file or directory" if isinstance(error, NoFile) else "no mountable file systems"
        print(mac.say(f"Error attaching image: {why}"), file=sys.stderr)
        return 1
    # Its names have no /dev/ before them.
    entities = mac.disks.entities(name)
    for entity in entities:
        entity["dev-entry"] = entity["dev-entry"].removeprefix("/dev/")
    answer({"system-entities": entities})
    return 0


def answer(document):
    plistlib.dump(document, sys.stdout.buffer)
