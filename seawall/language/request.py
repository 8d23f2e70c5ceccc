"""What is asked of a model, in one canonical form, and what came back.

The hash of the canonical form is the request's key in a cassette. It holds whatever can change the
answer, and nothing that must not be stored: neither the address of the endpoint nor a key.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil

SCHEMA = 1  # of the canonical form; another one makes another key
CHARACTERS_PER_TOKEN = 4  # where an endpoint does not count them, and before it has

Json = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request for a chat completion.

    Attributes:
        model: the endpoint's name for it.
        messages, tools: as the API has them.
        temperature: 0 is the model's likeliest answer; it is no promise of the same one.
        max_tokens: the longest answer.
        prompt: version of the prompt, such as ``"v1"``.
    """

    model: str
    messages: Sequence[Json]
    tools: Sequence[Json]
    temperature: float
    max_tokens: int
    prompt: str

    def canonical(self) -> str:
        """Return the request as one JSON text: sorted keys, no spaces."""
        return json.dumps(
            {"schema": SCHEMA, "prompt": self.prompt, **self.body()},
            sort_keys=True, separators=(",", ":"), allow_nan=False,
        )  # fmt: skip

    def body(self) -> dict[str, object]:
        """Return what is sent to ``/chat/completions``."""
        body: dict[str, object] = {
            "model": self.model,
            "messages": [dict(message) for message in self.messages],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        if self.tools:
            body["tools"] = [dict(tool) for tool in self.tools]
            body["tool_choice"] = "auto"
        return body

    @property
    def key(self) -> str:
        """The SHA-256 of the canonical form, 64 hexadecimal digits."""
        return sha256(self.canonical().encode()).hexdigest()

    @property
    def n_tokens_guessed(self) -> int:
        """Tokens that it has at about four characters each: before the endpoint has counted."""
        return ceil(len(self.canonical()) / CHARACTERS_PER_TOKEN)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back of one request.

    Attributes:
        message: the answer, as the API has it; empty where there is none.
        error: why there is none, ``""`` where there is one.
        finish: why the model stopped, such as ``"stop"`` or ``"length"``.
        input_tokens, output_tokens: as the endpoint has counted them, or guessed.
        is_guessed: the endpoint has not counted.
        latency_ms: from sending to the last byte, tries and waits in between included.
    """

    message: Json
    error: str = ""
    finish: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    is_guessed: bool = False
    latency_ms: int = 0
