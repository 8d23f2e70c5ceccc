"""A language model behind any OpenAI-compatible endpoint, recorded so that runs can be repeated."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf

from seawall.action import Cancel, Order, TargetWeight
from seawall.agent import AgentInfo, Decision, Wake
from seawall.errors import RecipeError
from seawall.language.answer import Read, read_reply
from seawall.language.budget import Budget, Prices
from seawall.language.cassette import MODES, Cassette, Mode
from seawall.language.cutoff import find_exposure_in, label_of, to_cutoff_ms
from seawall.language.endpoint import Endpoint, Patience, load_endpoint
from seawall.language.masks import Mask, MaskTerms
from seawall.language.places import find_cassette
from seawall.language.prompt import (
    FORMS,
    PROMPTS,
    Sleep,
    View,
    find_job,
    see,
    see_texts,
    write_job,
    write_observation,
)
from seawall.language.request import Reply, Request
from seawall.language.tools import make_tool
from seawall.loan_action import LOAN_ACTIONS
from seawall.loan_recipe import STABLECOINS
from seawall.observation import Observation
from seawall.perpetual_action import PERPETUAL_ACTIONS
from seawall.recipe import Recipe
from seawall.thinking import Thinking
from seawall.units import DAY_MS, SECOND_MS, is_perpetual, split_symbol, to_duration_ms

from ._parameters import whole_number

MEASURED = "measured"
_FOREVER_MS = 36_500 * DAY_MS
_LONGEST_NOTE = 300


@dataclass(kw_only=True, eq=False)
class LanguageModel:
    """Ask a model when it wants to be asked, or when the market moves; carry out what it calls.

    Its calls go through a cassette (``seawall.language.cassette``). An answer that is none is asked
    for again once; then it has abstained, and so it has when the budget is spent.

    Parameters:
        model: as the endpoint calls it; needed.
        cassette: name or path of the recording; ``mode``: record, replay or refresh.
        prompt: version of the prompt; ``form``: text or json, how the observation is written.
        temperature, max_tokens: of an answer.
        timeout: of one try at the endpoint.
        latency: "measured" (as recorded), or a duration for each call; it delays the orders.
        input_usd, output_usd: price of a million tokens.
        budget_calls, budget_tokens, budget_usd: limits of a run; 0: none.
        min_sleep, max_sleep: shortest and longest time between two calls; min_sleep "0s": none.
        move: it is asked again when a price has moved so far, a fraction; 0: never.
        lookback, points: closes that are shown; ``texts``: newest of each series; ``memory``: its
            own last decisions.
        mask: what is hidden: "names", "dates", "scale", "mirror"; ``mask_seed``: of the scale.
        cutoff: last day of the model's training; "": not stated.
    """

    model: str = ""
    cassette: str = "language_model"
    mode: Mode = "record"
    prompt: str = "v1"
    form: str = "text"
    temperature: float = 0.0
    max_tokens: int = 600
    timeout: str = "60s"
    latency: str = MEASURED
    input_usd: float = 0.0
    output_usd: float = 0.0
    budget_calls: int = 0
    budget_tokens: int = 0
    budget_usd: float = 0.0
    min_sleep: str = "1h"
    max_sleep: str = "1d"
    move: float = 0.05
    lookback: str = "7d"
    points: int = 24
    texts: int = 10
    memory: int = 3
    mask: Sequence[str] = ()
    mask_seed: int = 1
    cutoff: str = ""
    _tape: Cassette | None = field(default=None, init=False, repr=False)
    _endpoint: Endpoint | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_words()
        self._check_numbers()
        self._sleep = Sleep(min_ms=_to_ms(self.min_sleep), max_ms=_to_ms(self.max_sleep))
        if not self._sleep.min_ms <= self._sleep.max_ms or not self._sleep.max_ms:
            raise RecipeError(
                f"agent.min_sleep must be at most agent.max_sleep, are {self.min_sleep} and "
                f"{self.max_sleep}: shorten the first"
            )
        self._latency_ms = None if self.latency == MEASURED else _to_ms(self.latency)
        self._patience = Patience(timeout_s=to_duration_ms(self.timeout) / SECOND_MS)
        self._mask_terms = MaskTerms(kinds=tuple(self.mask), seed=self.mask_seed)
        self._view = View(
            form=self.form,  # type: ignore[arg-type]  # checked above
            n_points=self.points,
            lookback_ms=to_duration_ms(self.lookback),
            n_texts=self.texts,
        )
        self._budget = Budget(
            prices=Prices(input_usd=self.input_usd, output_usd=self.output_usd),
            max_calls=self.budget_calls or inf,
            max_tokens=self.budget_tokens or inf,
            max_usd=self.budget_usd or inf,
        )
        self._notes: list[str] = []
        self._wake = Wake()
        self._next_ms = self._due_ms = 0  # not before, and at the latest

    def _check_words(self) -> None:
        if not (isinstance(self.model, str) and self.model):
            raise RecipeError(
                'agent.model must name a model, is empty: set agent.model = "NAME", and '
                "SEAWALL_LLM_URL to where it is served"
            )
        for name, allowed in (("mode", MODES), ("prompt", tuple(PROMPTS)), ("form", FORMS)):
            if getattr(self, name) not in allowed:
                raise RecipeError(
                    f"agent.{name} must be one of {', '.join(allowed)}, is {getattr(self, name)!r}"
                )
        for name in ("cassette", "timeout", "latency", "min_sleep", "max_sleep", "cutoff"):
            if not isinstance(getattr(self, name), str):
                raise RecipeError(
                    f"agent.{name} must be text, is {getattr(self, name)!r}: quote it"
                )
        to_cutoff_ms(self.cutoff)
        if isinstance(self.mask, str):
            raise RecipeError(f'agent.mask must be a list, is {self.mask!r}: write ["names"]')

    def _check_numbers(self) -> None:
        for name in ("max_tokens", "points"):
            whole_number(name, getattr(self, name), at_least=1)
        for name in ("budget_calls", "budget_tokens", "texts", "memory", "mask_seed"):
            whole_number(name, getattr(self, name), at_least=0)
        for name in ("temperature", "input_usd", "output_usd", "budget_usd", "move"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not 0 <= value < inf
            ):
                raise RecipeError(f"agent.{name} must be a number >= 0, is {value!r}: correct it")

    def begin(self, info: AgentInfo) -> None:
        """Open the cassette, and find out what may be asked for."""
        if self.input_usd or self.output_usd:
            quote = split_symbol(info.symbols[0])[1]
            if quote not in ("USD", *STABLECOINS):
                raise RecipeError(
                    f"a model is paid in dollars, the market's quote is {quote}: set "
                    "agent.input_usd and agent.output_usd to 0, or take a market in dollars"
                )
        self._info = info
        self._hidden = Mask(self._mask_terms, info.symbols, info.assets)
        self._tape = Cassette(find_cassette(self.cassette, self.mode), self.mode)

    def end(self) -> None:
        """Let go of the endpoint."""
        if self._endpoint is not None:
            self._endpoint.close()

    def labels(self, recipe: Recipe) -> tuple[str, ...]:
        """Return what has to be said wherever its numbers in a recipe are shown."""
        recorded = self._tape.label if self._tape is not None else ""
        exposure = label_of(find_exposure_in(recipe, self.cutoff), self.cutoff)
        masked = f"masked from the model: {', '.join(self.mask)}" if self.mask else ""
        return tuple(label for label in (recorded, exposure, masked) if label)

    # One decision ---------------------------------------------------------------------------------

    def decide(self, observation: Observation) -> Decision:
        """Return what the model calls, or an abstention with its reason."""
        now_ms = observation.time_ms
        if now_ms < self._next_ms:  # a level woke it before it may be asked again
            return Decision(wake=replace(self._wake, after_ms=max(self._due_ms - now_ms, 0)))
        if self._hidden.start_ms is None:
            self._hidden.start_ms = now_ms
        info = self._complete(observation)
        request = self._write(observation, info)
        if limit := self._budget.find_limit(request):
            return self._abstain(limit, None, _FOREVER_MS, now_ms)
        replies = [self._ask(request)]
        read = read_reply(replies[0], info, self._hidden)
        repair = self._write_repair(request, replies[0], read)
        if repair is not None and not self._budget.find_limit(repair):
            replies.append(self._ask(repair))
            read = read_reply(replies[1], info, self._hidden)
        thinking = self._count(replies)
        if read.decision is None:
            wait_ms = max(self._sleep.min_ms, info.timeframe_ms)
            return self._abstain(read.fault, thinking, wait_ms, now_ms)
        self._note(observation, read)
        self._wake = self._to_wake(read.decision.wake, observation)
        self._next_ms = now_ms + self._sleep.min_ms
        self._due_ms = now_ms + (self._wake.after_ms or 0)
        return replace(read.decision, wake=self._wake, thinking=thinking)

    def _abstain(self, why: str, thinking: Thinking | None, wait_ms: int, now_ms: int) -> Decision:
        self._wake = Wake(after_ms=wait_ms)
        self._next_ms = self._due_ms = now_ms + wait_ms
        return Decision(abstained=why, thinking=thinking, wake=self._wake)

    def _complete(self, observation: Observation) -> AgentInfo:
        """Return what the job has told, and what it takes where it has not."""
        info = self._info
        if info.actions:
            return info
        loan = observation.loan
        assets = () if loan is None else loan.terms.assets
        if loan is not None:
            kinds: list[str] = [one.kind for one in LOAN_ACTIONS]
            self._hidden = Mask(self._mask_terms, info.symbols, assets)
            self._hidden.start_ms = observation.time_ms
        else:
            kinds = [TargetWeight.kind, Order.kind, Cancel.kind]
            if any(map(is_perpetual, info.symbols)):
                kinds += [one.kind for one in PERPETUAL_ACTIONS]
        self._info = replace(info, actions=tuple(kinds), assets=tuple(assets))
        return self._info

    def _write(self, observation: Observation, info: AgentInfo) -> Request:
        mask, view = self._hidden, self._view
        job = write_job(self.prompt, info, mask, self._sleep, job=find_job(info, observation))
        shown = see(observation, info, mask, view)
        texts = see_texts(observation, mask, view)
        told = write_observation(shown, texts, self._notes, view.form)
        tool = make_tool(info.actions, symbols=info.symbols, assets=info.assets, mask=mask)
        return Request(
            model=self.model,
            messages=({"role": "system", "content": job}, {"role": "user", "content": told}),
            tools=(tool,),
            temperature=float(self.temperature),
            max_tokens=self.max_tokens,
            prompt=self.prompt,
        )

    def _write_repair(self, request: Request, reply: Reply, read: Read) -> Request | None:
        """Return the request that asks once more; ``None`` where that would not help."""
        if not read.fault or read.is_refusal or reply.error:
            return None
        told = (
            f"That was no valid answer: {self._hidden.text(read.fault)}. Call decide again, as its "
            "schema says."
        )
        more = ({"role": "assistant", "content": read.said}, {"role": "user", "content": told})
        return replace(request, messages=(*request.messages, *more))

    def _ask(self, request: Request) -> Reply:
        if self._tape is None:
            raise RecipeError("an agent is begun before it is asked, this one is not: call begin")
        reply = self._tape.ask(request, self._call)
        self._budget.spend(reply)
        return reply

    def _call(self, request: Request) -> Reply:
        if self._endpoint is None:
            self._endpoint = load_endpoint(patience=self._patience)
        return self._endpoint(request)

    def _count(self, replies: Sequence[Reply]) -> Thinking:
        fixed = self._latency_ms
        tokens_in = sum(reply.input_tokens for reply in replies)
        tokens_out = sum(reply.output_tokens for reply in replies)
        return Thinking(
            cost=self._budget.prices.cost(tokens_in, tokens_out),
            latency_ms=sum(one.latency_ms if fixed is None else fixed for one in replies),
            n_calls=len(replies),
            input_tokens=tokens_in,
            output_tokens=tokens_out,
        )

    def _note(self, observation: Observation, read: Read) -> None:
        """Keep what it said, for it to see when it is asked again."""
        said = " ".join(read.said.split())[:_LONGEST_NOTE]
        notes = [*self._notes, f"{self._hidden.time(observation.time_ms)} {said}"]
        self._notes = notes[-self.memory :] if self.memory else []

    def _to_wake(self, asked: Wake | None, observation: Observation) -> Wake:
        """Return when it is asked again: as it asked for within the limits, or when it matters."""
        asked = asked or Wake()
        after_ms = self._sleep.max_ms if asked.after_ms is None else asked.after_ms
        above, below = dict(asked.above), dict(asked.below)
        for symbol in observation.symbols if self.move else ():
            price = observation.price(symbol)
            if price > 0:
                above.setdefault(symbol, price * (1 + self.move))
                below.setdefault(symbol, price * (1 - min(self.move, 1.0)))
        loan, futures = observation.loan, observation.perpetual
        health_below = asked.health_below
        if loan is not None and health_below is None and 1 < loan.health < inf:
            health_below = (1 + loan.health) / 2
        ratio = None
        if futures is not None and 0 < futures.margin_ratio < 1:
            ratio = (1 + futures.margin_ratio) / 2
        return Wake(
            after_ms=min(max(after_ms, self._sleep.min_ms), self._sleep.max_ms),
            above=above,
            below=below,
            health_below=health_below,
            health_above=asked.health_above,
            ratio_above=ratio,
        )

    # A restart ------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Return what it needs to go on elsewhere, as JSON."""
        counts = {} if self._tape is None else dict(self._tape.counts)
        spent = {name: getattr(self._budget, name) for name in _SPENT}
        kept = {
            "notes": self._notes, "next_ms": self._next_ms, "due_ms": self._due_ms, "spent": spent,
            "counts": counts, "start_ms": self._hidden.start_ms, "anchor": self._hidden.anchor,
            "wake": vars(self._wake),
        }  # fmt: skip
        return json.dumps(kept).encode()

    def restore(self, state: bytes) -> None:
        """Go on where a state was taken."""
        kept = json.loads(state)
        self._notes, self._wake = list(kept["notes"]), Wake(**kept["wake"])
        self._next_ms, self._due_ms = int(kept["next_ms"]), int(kept["due_ms"])
        for name in _SPENT:
            setattr(self._budget, name, kept["spent"][name])
        self._hidden.start_ms, self._hidden.anchor = kept["start_ms"], kept["anchor"]
        if self._tape is not None:
            self._tape.counts = Counter(kept["counts"])


_SPENT = ("n_calls", "input_tokens", "output_tokens", "usd")


def _to_ms(text: str) -> int:
    return 0 if text in ("0", "0s") else to_duration_ms(text)
