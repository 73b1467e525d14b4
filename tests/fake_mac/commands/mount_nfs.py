"""mount_nfs: the kernel's client mounts what a server at 127.0.0.1 exports."""
import sys

from state import Unknown

# Those that Linux has too, and what it calls them; the others are of the Mac's kernel and its Finder alone.
LINUX = {"hard": "hard", "ro": "ro", "nosuid": "nosuid", "nodev": "nodev", "sync": "sync"}
MACS = {
    "nolocks", "locallocks", "tcp", "nobrowse", "mutejukebox", "vers", "readahead", "noresvport", "resvport", "nocallback",
    "namedattr", "nonamedattr", "nfc", "dsize", "noquota", "noacl",
}  # fmt: skip
VALUES = {"port", "mountport", "rsize", "wsize"}


def run(mac, words):
    if len(words) != 4 or words[0] != "-o":
        raise Unknown("-o OPTIONS SOURCE POINT")
    options, source, point = words[1:]
    theirs = ["timeo=50", "retrans=2"]
    for option in options.split(","):
        key, _, value = option.partition("=")
        if key in VALUES and value.startswith("/"):
            return failed(source, "Protocol not supported", 43)
        if key in VALUES:
            theirs.append(f"{key}={value}")
        elif key in LINUX:
            theirs.append(LINUX[key])
        elif key not in MACS:
            # It takes what it does not know, and says so.
            print(f"mount_nfs: warning: option \"{key}\" not known", file=sys.stderr)
            mac.state.note("unknown", "mount_nfs", "-o", option)
    host, _, path = source.partition(":")
    if host != "127.0.0.1":
        raise Unknown("another host")
    code, said = mac.kernel.ask("nfs_mount", ",".join(theirs), path, point)
    return 0 if code == 0 else failed(source, said.strip().rsplit("failed: ", 1)[-1], 1)


def failed(source, why, code):
    # What it says has the source in it.
    print(f"mount_nfs: can't mount {source}: {why}", file=sys.stderr)
    return code
