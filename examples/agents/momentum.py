"""A remote agent in plain Python: long while the price is above its mean of 48 bars.

seawall run demo --agent 'stdio{command=["python3","examples/agents/momentum.py"]}'
"""

import json
import sys


def decide(observation: dict) -> float:
    """Return the weight to hold in the one symbol."""
    (candles,) = observation["candles"].values()
    closes = candles["close"]
    return 1.0 if closes and closes[-1] > sum(closes) / len(closes) else 0.0


for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        answer = {"type": "ready", "protocol": 1, "name": "momentum", "bars": 48}
    elif message["type"] == "observation":
        weight = decide(message["observation"])
        answer = {"type": "decision", "sequence": message["sequence"], "target": weight}
    else:
        break
    print(json.dumps(answer), flush=True)
