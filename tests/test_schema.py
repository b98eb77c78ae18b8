from typing import Any, Literal, TypedDict

import pytest

from tf_cosearch import schema


class Part(TypedDict):
    share: float


class _Needed(TypedDict):
    name: str
    parts: list[Part]


class Whole(_Needed, total=False):
    state: Literal["on", "off"] | None
    rest: dict[str, Any]


WHOLE: dict = {"name": "a", "parts": [{"share": 1}, {"share": 0.5}]}


@pytest.mark.parametrize(
    "added",
    [
        {},
        {"state": None},
        {"state": "on", "rest": {"a": [{}]}},
        {"of_a_later_version": 1},
        {"parts": [{"share": float("nan")}]},
    ],
)
def test_takes_what_is_of_the_kind(added):
    schema.check({**WHOLE, **added}, Whole)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "it must be an object"),
        (None, "it must be an object"),
        ({"name": "a"}, "it must be with 'parts'"),
        ({**WHOLE, "name": 1}, r"it\['name'\] must be str. Received: 1"),
        ({**WHOLE, "parts": {}}, r"it\['parts'\] must be a list"),
        ({**WHOLE, "parts": [1]}, r"it\['parts'\]\[0\] must be an object"),
        ({**WHOLE, "parts": [{"share": True}]}, r"\['share'\] must be float"),
        ({**WHOLE, "parts": [{"share": 10**400}]}, "must be float"),
        ({**WHOLE, "parts": [{"share": "1"}]}, "must be float"),
        ({**WHOLE, "state": "in"}, r"it\['state'\] must be "),
        ({**WHOLE, "rest": [1]}, r"it\['rest'\] must be an object"),
        ({**WHOLE, "name": "a" * 999, "parts": 0}, "must be a list"),
    ],
)
def test_refuses_all_else_and_says_where(value, told):
    with pytest.raises(ValueError, match=told) as caught:
        schema.check(value, Whole)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, int),
        (1.0, int),
        (1, bool),
        (1, str),
        (None, str),
        ("", type(None)),
    ],
)
def test_plain_types_are_what_they_are(value, kind):
    with pytest.raises(ValueError, match="it must be"):
        schema.check(value, kind)
    schema.check(value, type(value))
    schema.check(value, kind | type(value))
