"""A remote agent whose faults are asked for: ``python remote_child.py FAULT [AT]``.

It answers the number of questions it has been asked, since it was first started, as its reason, and
gives that number as its state.
"""

import json
import os
import sys
import time

FAULT = sys.argv[1] if len(sys.argv) > 1 else "none"
AT = int(sys.argv[2]) if len(sys.argv) > 2 else 3


def say(value: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def answer_hello(message: dict[str, object]) -> int:
    """Answer the handshake; return how often it was asked before."""
    if FAULT == "silent":
        time.sleep(3600)
    if FAULT == "dies at once":
        sys.exit("I cannot begin: no such model")
    state = message["state"]
    version = 99 if FAULT == "another version" else 1
    say({"type": "ready", "protocol": version, "name": "child", "bars": 5})
    return int(str(state)) if state is not None else 0


def write_much() -> bool:
    """Write more than anybody wants to read, where asked for; return whether that is the answer."""
    while FAULT == "flood":  # answers to a question that was asked before
        os.write(1, b'{"sequence":1}\n' * 5_000)
    if FAULT == "deep":
        sys.stdout.write("[" * 100_000 + "\n")
        sys.stdout.flush()
    if FAULT == "endless words":
        os.write(2, b"x" * 3_000_000)  # on stderr, without the end of a line
    return FAULT == "deep"


def answer(message: dict[str, object], asked: int) -> None:
    """Answer one question, or do what was asked for."""
    sequence = int(str(message["sequence"]))
    is_now = sequence == AT
    if is_now and FAULT == "garbage":
        sys.stdout.write("Traceback: my model " + "x" * 500 + "\n")
        sys.stdout.flush()
        return
    if is_now and FAULT == "chatter":
        sys.stdout.write("a warning\nof many\nlines\n")
        sys.stdout.flush()
    if is_now and write_much():
        return
    if is_now and FAULT == "late":
        time.sleep(1.2)
    if is_now and FAULT == "two answers":
        say({"type": "decision", "sequence": sequence, "weights": {}, "target": 1})
        return
    if is_now and FAULT == "wrong symbol":
        say({"type": "decision", "sequence": sequence, "weights": {"DOGE/USDT": 1}})
        return
    if is_now and FAULT == "typo":
        say({"type": "decision", "sequence": sequence, "targt": 1})
        return
    if is_now and FAULT == "error":
        say({"type": "decision", "sequence": sequence, "error": "I have no idea"})
        return
    said = {"type": "decision", "sequence": sequence, "target": sequence % 2, "reason": str(asked)}
    if FAULT != "forgets":
        said["state"] = str(asked)
    say(said)


def main() -> None:
    """Answer lines until there are none."""
    asked, is_first_life = 0, True
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "hello":
            asked = answer_hello(message)
            is_first_life = message["state"] is None
        elif message["type"] == "observation":
            asked += 1
            is_now = message["sequence"] == AT
            is_to_die = FAULT in ("dies", "forgets") and is_now and asked == AT and is_first_life
            if FAULT == "always dies" or is_to_die:
                sys.stderr.write("out of memory\n")
                sys.exit(3)
            if FAULT == "deaf" and int(message["sequence"]) >= AT:
                continue
            answer(message, asked)
        else:
            break


main()
