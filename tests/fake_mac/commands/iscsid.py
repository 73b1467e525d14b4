"""iscsid, called by itself: what it does in another process, with what is mounted."""
import sys

from state import Unknown


def run(mac, words):
    if len(words) < 2 or words[0] != "--write-back":
        raise Unknown("--write-back PATH …")
    code, said = mac.kernel.ask("write_back", *words[1:])
    if code:
        print(f"iscsid: {said.strip()}", file=sys.stderr)
    return 74 if code else 0
