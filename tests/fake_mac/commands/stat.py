"""stat: how long a file is."""
import sys

from state import Unknown


def run(mac, words):
    if len(words) != 3 or words[:2] != ["-f", "%z"]:
        raise Unknown("-f %z FILE")
    code, said = mac.kernel.ask("stat", "-c", "%s", words[2])
    if code:
        print(f"stat: {words[2]}: stat: {said.strip().rsplit(': ', 1)[-1]}", file=sys.stderr)
        return 1
    print(said.strip())
    return 0
