"""What may go wrong with a request, as tests draw it by chance."""

from typing import Any

HTML = "<html></html>"
FAULTS: list[dict[str, Any]] = [
    {"is_drop": True},
    {"status": 500, "body": HTML},
    {"status": 503, "body": '{"code":-1000,"msg":"Unknown error, please check"}'},
    {"status": 503, "body": '{"code":-1008,"msg":"throttled"}', "stage": "before"},
    {"status": 429, "body": "{}", "headers": {"Retry-After": "1"}, "stage": "before"},
    {"status": 504, "body": ""},
    {"body": ""},
    {"body": "{}"},
    {"body": "[]"},
    {"body": HTML},
    {"keep_bytes": 30},
]
