"""cat: what is in a file."""
import sys

from state import Unknown


def run(mac, words):
    if len(words) != 1 or words[0].startswith("-"):
        raise Unknown("one file")
    code, said = mac.kernel.ask("cat", words[0])
    if code:
        print(f"cat: {words[0]}: {said.strip().rsplit(': ', 1)[-1]}", file=sys.stderr)
        return 1
    sys.stdout.write(said)
    return 0
