"""mount: what is mounted, a line each."""
from state import Unknown

# What is mounted on every Mac.
ROOT = "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)"


def run(mac, words):
    if words:
        raise Unknown("it only lists")
    print(ROOT)
    for line in mac.kernel.ask("mounts")[1].splitlines():
        source, point, kind, _ = line.split("\t")
        if kind.startswith("nfs"):
            print(f"{source.replace('10.0.2.2:', '127.0.0.1:')} on {point} (nfs, nodev, nosuid, mounted by root, nobrowse)")
        elif source.startswith("/dev/disk"):
            print(f"{source} on {point} ({kind}, local, nodev, nosuid, journaled)")
    return 0
