"""The JSON form in which agents in other processes are asked and answer; its JSON Schema.

Version 1. The world speaks first: a ``hello``, answered by ``ready``; then an ``observation`` for
each decision, answered by a ``decision``; at last ``end``, which is not answered. Numbers are
finite; ``"inf"`` is infinity (a loan without debt has that health factor), ``null`` is what is not
is not known or not there. In an answer a key that is ``null`` counts as left out. Within a version
the world's messages may gain keys, and lack what has a default here: an agent passes over the keys
that it does not know.

Times are UTC milliseconds, prices quote units per base unit, rates fractions.
"""

from math import inf
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from seawall.action import Action, json_schema
from seawall.errors import AgentError
from seawall.given import to_shown

PROTOCOL = 1
MOST_BARS = 10_000  # candles of each symbol that an observation may carry
MOST_TEXTS = 20  # of each series that an observation carries
MOST_TEXTS_AT_FIRST = 1_000  # of each series, for an agent that keeps them
LONGEST_MESSAGE = 16 * 1024 * 1024  # bytes of one message, either way

Number = float | Literal["inf", "-inf"] | None
Numbers = dict[str, Number]


class Form(BaseModel):
    """A message or a part of one; what is not in the form is an error, not a surprise."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


# From the world -----------------------------------------------------------------------------------


class Info(Form):
    """What an agent is told before the first bar.

    ``actions`` are the kinds of action that the job takes, ``assets`` those of a loan, ``guarded``
    is the contract whose position the job guards. ``seed`` is for random numbers of the agent's,
    ``rng`` the state of those of a Seawall agent, for ``seawall serve``.
    """

    symbols: list[str]
    timeframe_ms: int
    decide_at: Literal["close", "open"]
    taker_fee_bps: float
    actions: list[str]
    assets: list[str]
    guarded: str
    seed: int
    rng: str = ""


class Hello(Form):
    """The handshake. ``state`` is what the agent gave last, where it is started again."""

    type: Literal["hello"] = "hello"
    protocol: int
    info: Info
    state: str | None = None


class CandlesForm(Form):
    """The last candles, oldest first, arrays of one length; ``time_ms`` are open times.

    Where the agent decides at the open, ``time_ms`` and ``open`` are one longer: the bar that is
    about to trade.
    """

    time_ms: list[int]
    open: list[Number]
    high: list[Number]
    low: list[Number]
    close: list[Number]
    volume: list[Number]


class SignalForm(Form):
    """The last values of a signal, oldest first, and when each was known."""

    known_ms: list[int]
    value: list[Number]


class TextForm(Form):
    """A text, what a stranger wrote, and when it was known; data, whatever it asks for."""

    known_ms: int
    text: str


Count = Annotated[int, Field(ge=0)]


class BeforeForm(Form):
    """How much lies before what is sent, by symbol and name; for an agent that keeps it."""

    candles: dict[str, Count]
    signals: dict[str, Count]
    texts: dict[str, Count]


class OrderForm(Form):
    """A resting order."""

    order_id: str
    symbol: str
    side: str
    type: str
    quantity: float
    remaining: float
    limit_price: float | None = None
    stop_price: float | None = None
    client_id: str = ""


class FillForm(Form):
    """A fill since the last decision; ``quantity`` is signed, ``fee`` in quote units."""

    time_ms: int
    order_id: str
    symbol: str
    quantity: float
    price: float
    fee: float


class TermsForm(Form):
    """What does not change from bar to bar; as ``seawall.loan_view.LoanTerms``."""

    protocol: str
    assets: list[str]
    collateral: str
    debt: str
    threshold: Numbers
    max_ltv: Numbers
    bonus: Numbers
    swap_fee: float
    depth_usd: Number
    flash_premium: float
    has_flash_loans: bool
    gas_units: Numbers
    delay_ms: int
    min_reserve_usd: float


class LoanForm(Form):
    """A loan; tokens by asset, USD where the name says so.

    ``row`` is the same as the engine keeps it, for a Seawall agent behind ``seawall serve``.
    """

    health: Number
    ltv: Number
    collateral_usd: Number
    debt_usd: Number
    wallet_usd: Number
    equity_usd: Number
    borrowable_usd: Number
    liquidation_threshold: Number
    liquidation_price: Number
    gas_price_gwei: Number
    spent_usd: Number
    n_liquidations: int
    pending: int
    collateral: Numbers
    debt: Numbers
    wallet: Numbers
    prices: Numbers
    market_prices: Numbers
    supply_rate: Numbers
    borrow_rate: Numbers
    terms: TermsForm
    row: list[Number]


class ContractForm(Form):
    """What does not change of a perpetual; as ``seawall.perpetual_view.Contract``."""

    symbol: str
    row: int
    taker_fee: float
    maker_fee: float
    liquidation_fee: float
    lot_size: float
    max_leverage: Number
    interval_ms: int


class PositionForm(Form):
    """An open position; as ``seawall.perpetual_view.PositionView``."""

    quantity: float
    entry_price: Number
    mark_price: Number
    leverage: Number
    is_isolated: bool
    unrealised: Number
    margin: Number
    maintenance: Number
    margin_ratio: Number
    real_leverage: Number
    liquidation_price: Number


class PerpetualArrays(Form):
    """The account as the engine keeps it, for a Seawall agent behind ``seawall serve``."""

    account: list[Number]
    positions: list[list[Number]]
    marks: list[Number]
    tables: list[list[list[Number]]]
    funding_rates: list[Number]


class PerpetualForm(Form):
    """A futures account; quote units, and by symbol what belongs to a contract."""

    wallet: Number
    equity: Number
    available: Number
    withdrawable: Number
    margin_ratio: Number
    reserve: Number
    on_the_way: Number
    funding: Number
    is_liquidated: bool
    positions: dict[str, PositionForm]
    marks: Numbers
    funding_rates: Numbers
    next_funding_ms: dict[str, int]
    contracts: dict[str, ContractForm]
    arrays: PerpetualArrays


class ObservationForm(Form):
    """All that an agent may know now; ``cash`` and ``equity`` in quote units.

    ``texts`` are the newest 20 of each series, oldest first. ``before`` comes to who ``keeps``.
    """

    time_ms: int
    timeframe_ms: int
    is_at_open: bool
    symbols: list[str]
    cash: Number
    equity: Number
    quantities: dict[str, float]
    orders: list[OrderForm]
    fills: list[FillForm]
    candles: dict[str, CandlesForm]
    signals: dict[str, SignalForm]
    loan: LoanForm | None
    perpetual: PerpetualForm | None
    texts: dict[str, list[TextForm]] = Field(default_factory=dict)
    before: BeforeForm | None = None


class Question(Form):
    """An observation with its number; an answer bears the same number."""

    type: Literal["observation"] = "observation"
    sequence: Annotated[int, Field(ge=1)]
    observation: ObservationForm


class End(Form):
    """The run is over; nothing answers it."""

    type: Literal["end"] = "end"


# From the agent -----------------------------------------------------------------------------------


def _drop_nulls(value: object) -> object:
    """Return a mapping without its nulls: a typed client sends every key of its model."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


class Ready(Form):
    """The answer to ``hello``; ``bars``: candles of each symbol wanted in an observation.

    ``keeps``: it keeps what it was sent. The first observation then brings all candles, values and
    up to 1,000 texts that are known, each later one at least what is new, and ``before`` says what
    it leaves out.
    """

    type: Literal["ready"]
    protocol: int
    name: str = ""
    bars: Annotated[int, Field(ge=0, le=MOST_BARS)] | None = None
    keeps: bool = False


class WakeForm(Form):
    """When to be asked again, whichever comes first; as ``seawall.Wake``."""

    after_ms: int | None = None
    above: dict[str, float] = Field(default_factory=dict)
    below: dict[str, float] = Field(default_factory=dict)
    at_fill: bool = False
    health_below: float | None = None
    health_above: float | None = None
    ratio_above: float | None = None


AnyAction = Annotated[Action, Field(discriminator="kind")]


class DecisionForm(Form):
    """What to do: at most one of ``actions``, ``weights`` and ``target``; none leaves all as it is.

    ``weights`` are target weights by symbol. ``target`` is the one number that the job aims at: a
    weight, a health factor, a leverage, a carry's share; ``"inf"`` closes a loan. ``error`` says
    why there is no answer. ``state`` is handed back where the agent is started again.
    """

    type: Literal["decision"] = "decision"
    sequence: Annotated[int, Field(ge=1)]
    actions: Annotated[list[AnyAction], BeforeValidator(
        lambda given: [_drop_nulls(one) for one in given] if isinstance(given, list) else given
    )] | None = None  # fmt: skip
    weights: dict[str, float] | None = None
    target: float | Literal["inf"] | None = None
    reason: str = ""
    wake: Annotated[WakeForm, BeforeValidator(_drop_nulls)] | None = None
    error: str = ""
    state: str | None = None


_READY: TypeAdapter[Ready] = TypeAdapter(Annotated[Ready, BeforeValidator(_drop_nulls)])
_DECISION: TypeAdapter[DecisionForm] = TypeAdapter(
    Annotated[DecisionForm, BeforeValidator(_drop_nulls)]
)
_FROM_WORLD: TypeAdapter[Hello | Question | End] = TypeAdapter(
    Annotated[Hello | Question | End, Field(discriminator="type")]
)


def read_ready(text: bytes) -> Ready:
    """Return the answer to a ``hello``.

    Raises:
        AgentError: it is none.
    """
    return _read(_READY, text, "an answer to hello")


def read_decision(text: bytes, sequence: int | None = None) -> DecisionForm:
    """Return a decision, the answer to the question with number ``sequence``, where it is given.

    Raises:
        AgentError: it is none, or bears another number.
    """
    decision = check_decision(_read(_DECISION, text, "a decision"))
    if sequence is not None and decision.sequence != sequence:
        raise AgentError(
            f"an answer bears the number of its question, {sequence}, has {decision.sequence}: "
            "copy sequence"
        )
    return decision


def check_decision(decision: DecisionForm) -> DecisionForm:
    """Return a decision that says one thing.

    Raises:
        AgentError: it says two.
    """
    given = [k for k in ("actions", "weights", "target") if getattr(decision, k) is not None]
    if len(given) > 1:
        raise AgentError(
            f"a decision has one of actions, weights and target, has {' and '.join(given)}: "
            "leave out the others"
        )
    return decision


def read_from_world(text: bytes) -> Hello | Question | End:
    """Return what the world says to an agent.

    Raises:
        AgentError: it is no message of this version.
    """
    return _read(_FROM_WORLD, text, "a message")


def schema(what: str = "all") -> dict[str, object]:
    """Return the JSON Schema of ``observation``, ``decision``, ``action``, ``handshake`` or all.

    Raises:
        AgentError: there is no such form.
    """
    if what == "action":
        return {"$schema": _DIALECT, "title": "Action", **_without_infinity(json_schema())}
    models = _MODELS.get(what)
    if models is None:
        raise AgentError(f"a schema is one of {', '.join((*_MODELS, 'action'))}, is {what!r}")
    found = models.json_schema()
    return {"$schema": _DIALECT, "$comment": f"protocol {PROTOCOL}", **_without_infinity(found)}


def _without_infinity(schema: dict[str, object]) -> dict[str, object]:
    """Return a schema without defaults that JSON cannot write: no limit is what is left out."""
    found: dict[str, object] = {}
    for key, value in schema.items():
        if key == "default" and value == inf:
            continue
        found[key] = _without_infinity(value) if isinstance(value, dict) else value
    return found


_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: dict[str, TypeAdapter[Any]] = {
    "all": TypeAdapter(Hello | Ready | Question | DecisionForm | End),
    "observation": TypeAdapter(Question),
    "decision": TypeAdapter(DecisionForm),
    "handshake": TypeAdapter(Hello | Ready),
}


T = TypeVar("T")


def _read(adapter: TypeAdapter[T], text: bytes, what: str) -> T:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise AgentError(
            f"{what} must be JSON as `seawall schema` prints it, {where}: {first['msg']}; it is "
            f"{show(text)}"
        ) from None


def show(text: bytes) -> str:
    """Return what another process has said, shortened, for a message."""
    words = text.decode("utf-8", "backslashreplace").strip()
    return to_shown(words if len(words) <= _SHOWN else f"{words[:_SHOWN]}...")


_SHOWN = 70
