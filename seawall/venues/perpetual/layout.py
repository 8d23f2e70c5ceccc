"""The flat state of a futures account: one wallet, a row for each contract, and bracket tables.

Amounts are quote units, quantities base units, prices quote per base, rates fractions. A position
is signed: > 0 is long, < 0 short, 0.0 none. One symbol has one position (one-way mode).

``account``: float64, shape (N_ACCOUNT,). ``positions``: float64, shape (n, N_POSITION).
``tables``: float64, shape (n, n_tiers, N_TIER); a contract with fewer tiers has rows behind its
last whose FLOOR is inf. ``events``: float64, shape (n_events, N_EVENT).
"""

# account
WALLET = 0  # cross wallet; margin set aside for isolated positions is not in it
# sums since the start; they and what was transferred add up to the change of the equity
REALISED = 1  # profit and loss of what was closed, before fees
FEES = 2  # of orders, > 0 is paid
FUNDING = 3  # > 0 is received
LIQUIDATION_FEES = 4  # > 0 is paid
INSURED = 5  # what the insurance fund carried, so that no equity ends below zero
TRANSFERRED = 6  # > 0 came in
N_ACCOUNT = 7

# positions
QUANTITY = 0
ENTRY = 1  # average entry price, 0.0 without a position
MARGIN = 2  # of an isolated position: funding settles in it, fees and profit in the wallet
IS_ISOLATED = 3  # 1.0 or 0.0
LEVERAGE = 4  # of the initial margin: notional / LEVERAGE
PAID_FUNDING = 5  # received by this contract since the start, > 0 is received
N_POSITION = 6

# tables: tier k holds from FLOOR (included) to CAP (not included) of notional at the mark price
FLOOR = 0
CAP = 1
RATE = 2  # maintenance margin = notional * RATE - AMOUNT
AMOUNT = 3
MAX_LEVERAGE = 4
N_TIER = 5

# events, one for each step of a liquidation
AT_BAR = 0
SYMBOL = 1  # row in positions
TIER = 2  # the tier that was left, counted from 1 as exchanges do
CLOSED = 3  # base units, signed as the trade: < 0 sold
PRICE = 4  # mark price at which it was closed
FEE = 5
PNL = 6  # realised by this step
INSURANCE = 7  # what the insurance fund paid in this step
RATIO_BEFORE = 8  # maintenance margin / margin balance before the step; inf where balance <= 0
MARGIN_BEFORE = 9  # margin balance before the step
LEFT = 10  # base units of the position afterwards
N_EVENT = 11

CROSS = -1  # in place of a row: the cross account as a whole
NOBODY = -2
