"""umount: takes away what is mounted, with -f whoever uses it."""
import sys

from state import Unknown


def run(mac, words):
    force = words[:1] == ["-f"]
    points = words[1:] if force else words
    if len(points) != 1 or points[0].startswith("-"):
        raise Unknown("[-f] POINT")
    point = points[0]
    code, _ = mac.kernel.ask("unmount", point, *(["force"] if force else []))
    if code == 3:
        print(f"umount: {point}: not currently mounted", file=sys.stderr)
    elif code == 16:
        print(mac.say(f"umount({point}): Resource busy -- try 'diskutil unmount'"), file=sys.stderr)
    return 1 if code else 0
