from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, VerificationError
from domain.transparency.note import SignatureType, VerifierKey
from domain.transparency.tlog_policy import (
    PolicyGroup,
    PolicyLog,
    PolicyWitness,
    Quorum,
    TlogPolicy,
    parse_policy,
)

LOG, WITNESS = SignatureType.ED25519, SignatureType.ED25519_COSIGNATURE


def key(number: int, kind: SignatureType = WITNESS, name: str = "") -> VerifierKey:
    size = 1312 if kind is SignatureType.ML_DSA_44 else 32
    return VerifierKey(name or f"key.example/{number}", kind, number.to_bytes(size, "big"))


EXAMPLE = "".join(
    f"{line}\n"
    for line in [
        f"log {key(1, LOG)}",
        "",
        f"witness X1 {key(11)}",
        f"witness X2 {key(12)}",
        f"witness X3 {key(13, SignatureType.ML_DSA_44)}",
        "group X-witnesses 2 X1 X2 X3",
        "",
        f"witness Y1 {key(21)}",
        f"witness Y2 {key(22)}",
        f"witness Y3 {key(23)} https://witness.example/y3",
        "group Y-witnesses any Y1 Y2 Y3",
        "group X-and-Y all X-witnesses Y-witnesses",
        "quorum X-and-Y",
    ]
).encode()
KEYS = {f"{letter}{n}": key(10 * place + n) for place, letter in ((1, "X"), (2, "Y")) for n in (1, 2, 3)}
KEYS["X3"] = key(13, SignatureType.ML_DSA_44)

WORDS = st.text(st.characters(exclude_characters=" \t\n\x7f", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)
URLS = st.none() | WORDS


@st.composite
def policies(draw: st.DrawFn) -> TlogPolicy:
    logs = [PolicyLog(key(n, LOG), draw(URLS)) for n in range(draw(st.integers(0, 3)))]
    names = draw(st.lists(WORDS.filter(lambda word: word != "none"), unique=True, max_size=12))
    split = draw(st.integers(0, len(names)))
    witnesses = [PolicyWitness(name, key(100 + n), draw(URLS)) for n, name in enumerate(names[:split])]
    free, groups = names[:split], []
    for name in names[split:]:
        if free:
            members = draw(st.lists(st.sampled_from(free), unique=True, min_size=1))
            groups.append(PolicyGroup(name, draw(st.integers(1, len(members))), tuple(members)))
            free = [each for each in free if each not in members] + [name]
    quorum = draw(st.sampled_from(["none", *names[:split], *(group.name for group in groups)]))
    return TlogPolicy(tuple(logs), tuple(witnesses), tuple(groups), quorum)


@given(policies())
def test_a_printed_policy_reads_back(policy: TlogPolicy) -> None:
    assert parse_policy(policy.to_bytes()) == policy


@given(policies(), st.data())
def test_spacing_comments_and_empty_lines_change_nothing(policy: TlogPolicy, data: st.DataObject) -> None:
    blanks = st.text(" \t", min_size=1, max_size=3).map(str.encode)
    lines = []
    for line in policy.to_bytes().splitlines():
        lines += [data.draw(blanks) + data.draw(blanks).join(line.split(b" ")) + data.draw(blanks)]
        lines += data.draw(st.lists(st.sampled_from([b"", b" \t", b"# a comment", b"\t#\xff\xfe opaque"]), max_size=1))
    if any(b"\x0b" in line for line in lines):
        return
    assert parse_policy(b"\n".join(lines) + b"\n") == policy


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: EXAMPLE + tail + b"\n"))
def test_anything_else_is_refused_with_one_kind_of_error(data: bytes) -> None:
    try:
        policy = parse_policy(data)
    except MalformedError as error:
        str(error).encode()
        return
    assert parse_policy(policy.to_bytes()) == policy


def test_the_example_of_the_specification_asks_for_two_of_x_and_one_of_y() -> None:
    policy = parse_policy(EXAMPLE)
    assert policy.witnesses[-1].url == "https://witness.example/y3"
    assert policy.log_keys("key.example/1") == (key(1, LOG),)
    assert policy.log_keys("key.example/2") == ()
    for count in range(7):
        for names in combinations(KEYS, count):
            x = sum(name.startswith("X") for name in names)
            found = policy.evaluate({KEYS[name]: 100 for name in names})
            assert found.reached == (x >= 2 and count - x >= 1), names
            assert set(found.cosigned_by) == set(names)


def test_the_newest_time_of_a_quorum_is_when_enough_had_cosigned() -> None:
    policy = parse_policy(EXAMPLE)
    times = {KEYS["X1"]: 50, KEYS["X2"]: 40, KEYS["X3"]: 10, KEYS["Y1"]: 30, KEYS["Y2"]: 60}
    assert policy.evaluate(times) == Quorum(reached=True, newest_unix_s=40, cosigned_by=("X1", "X2", "X3", "Y1", "Y2"))
    del times[KEYS["X2"]]
    assert policy.evaluate(times).newest_unix_s == 10
    del times[KEYS["Y2"]]
    assert policy.evaluate(times).newest_unix_s == 10
    del times[KEYS["X3"]]
    assert policy.evaluate(times) == Quorum(reached=False, newest_unix_s=None, cosigned_by=("X1", "Y1"))
    assert not policy.evaluate({key(99): 5}).reached


@given(policies(), st.data())
def test_another_cosignature_never_takes_a_quorum_away_nor_makes_it_older(
    policy: TlogPolicy, data: st.DataObject
) -> None:
    witnesses = [witness.key for witness in policy.witnesses]
    times = {each: data.draw(st.integers(0, 100)) for each in witnesses if data.draw(st.booleans())}
    before = policy.evaluate(times)
    for each in witnesses:
        after = policy.evaluate({**times, each: max(times.get(each, 0), 50)})
        assert after.reached >= before.reached
        assert (after.newest_unix_s or 0) >= (before.newest_unix_s or 0)


def test_a_quorum_is_required_and_may_not_be_too_old() -> None:
    policy = parse_policy(EXAMPLE)
    with pytest.raises(VerificationError, match="no quorum of witnesses: cosigned by 'X1'"):
        policy.evaluate({KEYS["X1"]: 1}).require()
    good = policy.evaluate({KEYS["X1"]: 100, KEYS["X2"]: 90, KEYS["Y1"]: 95})
    good.require()
    good.require(now_unix_s=100, max_age_s=10)
    good.require(now_unix_s=10**9)
    with pytest.raises(VerificationError, match="11 s ago"):
        good.require(now_unix_s=101, max_age_s=10)


def test_a_policy_without_quorum_is_met_by_nobody_but_knows_no_time() -> None:
    policy = parse_policy(b"quorum none\n")
    assert policy == TlogPolicy((), (), (), "none")
    found = policy.evaluate({})
    assert found == Quorum(reached=True, newest_unix_s=None, cosigned_by=())
    found.require(now_unix_s=5)
    with pytest.raises(VerificationError, match="no witness to tell the time"):
        found.require(now_unix_s=5, max_age_s=1)


def test_names_are_octets_and_show_escaped() -> None:
    line = b"witness \xff\xfe " + str(key(1)).encode() + b"\n"
    policy = parse_policy(line + b"quorum \xff\xfe\n")
    assert policy.to_bytes() == line + b"quorum \xff\xfe\n"
    with pytest.raises(MalformedError, match="udcff"):
        parse_policy(line + line + b"quorum none\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quorum none",
        "\n",
        "quorum X\n",
        "quorum none\nquorum none\n",
        "quorum none more\n",
        "something else\nquorum none\n",
        "quorum none\r\n",
        "quorum none\n# \x7f\n",
        "log\nquorum none\n",
        f"log {key(1)}\nquorum none\n",
        f"log {key(1, LOG)} url more\nquorum none\n",
        f"log {key(1, LOG)}\nlog {key(1, LOG)}\nquorum none\n",
        f"log {key(1, LOG)}\nlog {key(1, LOG, 'another.example')}\nquorum none\n",
        f"log {str(key(1, LOG))[:-2]}\nquorum none\n",
        f"witness X {key(1, LOG)}\nquorum none\n",
        f"witness X {key(1)}\nwitness X {key(2)}\nquorum X\n",
        f"witness X {key(1)}\nwitness Y {key(1, name='y.example')}\nquorum X\n",
        f"witness none {key(1)}\nquorum none\n",
        f"log {key(1, LOG)}\nwitness X {key(1, WITNESS)}\nquorum X\n",
        f"quorum X\nwitness X {key(1)}\n",
        f"witness X {key(1)}\ngroup G 0 X\nquorum G\n",
        f"witness X {key(1)}\ngroup G 2 X\nquorum G\n",
        f"witness X {key(1)}\ngroup G 01 X\nquorum G\n",
        f"witness X {key(1)}\ngroup G most X\nquorum G\n",
        f"witness X {key(1)}\ngroup G any\nquorum G\n",
        f"witness X {key(1)}\ngroup G any X X\nquorum G\n",
        f"witness X {key(1)}\ngroup G any none\nquorum G\n",
        f"witness X {key(1)}\ngroup G any G\nquorum G\n",
        f"witness X {key(1)}\ngroup X any X\nquorum X\n",
        f"witness X {key(1)}\ngroup G any X\ngroup H any X\nquorum G\n",
        f"witness X {key(1)}\ngroup G any H\ngroup H any X\nquorum G\n",
        f"group G any X\nwitness X {key(1)}\nquorum G\n",
    ],
)
def test_a_policy_that_breaks_a_rule_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_policy(text.encode())


def test_a_policy_out_of_bounds_is_refused() -> None:
    with pytest.raises(MalformedError):
        parse_policy(b"#" * (1 << 20) + b"\nquorum none\n")
    many = tuple(PolicyLog(key(n, LOG)) for n in range(1001))
    with pytest.raises(MalformedError):
        TlogPolicy(many, (), (), "none")
    TlogPolicy(many[:1000], (), (), "none")
    with pytest.raises(MalformedError, match="'X' is not defined"):
        TlogPolicy((), (), (), "X")
    for name, url in (
        ("two words", None),
        ("", None),
        ("X", "a b"),
        ("X", ""),
        ("\ud800", None),
        ("\udcc3\udca9", None),
    ):
        with pytest.raises(MalformedError):
            TlogPolicy((), (PolicyWitness(name, key(1), url),), (), "none")
