"""Where one can act: deterministic state machines with exact rules, and the ledger."""
