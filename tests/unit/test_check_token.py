"""What the doctor makes of clocks, of token answers and of what stands in tokens."""

import base64
import io
import json

import pytest

from proxy.cli.doctor import claims, clock, grant
from proxy.cli.doctor.claims import Content
from proxy.cli.doctor.report import Report
from proxy.config import OAuth
from proxy.tokens.answer import Answer, read_answer
from proxy.tokens.endpoint import Fetched
from proxy.tokens.failure import Failure

ISSUER = "https://dev-1.okta.com/oauth2/default"
ORG = "https://dev-1.okta.com"
NOW = 1_700_000_000.0
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
"""NOW, as a Date header has it."""


@pytest.mark.parametrize(
    ("sent", "received", "expected"),
    [
        (NOW, NOW, 0.0),
        (NOW + 0.9, NOW + 1.5, 0.0),
        (NOW - 8, NOW + 0.5, 0.0),
        (NOW + 1.1, NOW + 2, -1.1),
        (NOW + 3600, NOW + 3601, -3600.0),
        (NOW - 100, NOW - 90, 90.0),
    ],
)
def test_the_offset_is_what_the_request_does_not_explain(sent, received, expected):
    """A Date between the sending and the receiving, or cut to its second, is no difference."""
    assert clock.offset(DATE, sent, received) == pytest.approx(expected)


@pytest.mark.parametrize("date", ["", "yesterday", "Tue, 99 Nov 2023 22:13:20 GMT"])
def test_no_date_gives_no_offset(date):
    """What is no date is not compared with."""
    assert clock.offset(date, NOW, NOW) is None


@pytest.mark.parametrize(
    ("ahead", "outcome", "text"),
    [
        (None, "SKIP", "the token endpoint's answer has no Date"),
        (0.5, "PASS", "this machine agrees with the token endpoint to the second"),
        (60.0, "PASS", "this machine is 60 s behind the token endpoint"),
        (-59.9, "PASS", "this machine is 60 s ahead of the token endpoint"),
        (60.1, "FAIL", "this machine is 60 s behind the token endpoint"),
        (-600.0, "FAIL", "this machine is 10 min ahead of the token endpoint"),
        (86400.0, "FAIL", "this machine is 24 h behind the token endpoint"),
        (8640000.0, "FAIL", "this machine is 100 days behind the token endpoint"),
    ],
)
def test_clocks_may_differ_by_a_minute(ahead, outcome, text):
    """Up to 60 s pass, more fails; the difference is shown in the unit that fits."""
    assert clock.judge(ahead)[:3] == (outcome, "clock", text)


@pytest.mark.parametrize(
    ("ahead", "outcome"), [(-0.4, "WARN"), (-5.0, "WARN"), (30.0, "WARN"), (-90.0, "FAIL"), (3600.0, "FAIL")]
)
def test_a_clock_that_was_minded_is_never_fine(ahead, outcome):
    """What the server refused because of the clock is said, however little it is off."""
    verdict = clock.judge(ahead, minded=True)
    assert verdict.outcome == outcome
    assert "It refused what was signed by this clock" in verdict.remedy[0]
    assert "NTP" in verdict.remedy[-1]


def answered(status=200, headers=None, **document):
    """Return a token endpoint's answer that came at NOW."""
    lower = {"date": DATE} | (headers or {})
    return Fetched(Answer(status, lower, json.dumps(document).encode(), NOW, NOW), "the-client-secret")


def asking(*scopes, **oauth):
    """Return the settings of a client that asks for these scopes."""
    return OAuth(**{"issuer": ISSUER, "client_id": "0oa1", "scopes": scopes} | oauth)


def test_a_request_that_was_not_answered_gives_no_clock():
    """Without an answer there is nothing to compare the clock with."""
    failure = Failure("unreachable", "It was not reached.", "Check the network.")
    found = grant.judge(failure, asking(), NOW)
    assert [verdict.outcome for verdict in found.verdicts] == ["SKIP", "FAIL"]
    assert found.token is None


def test_the_scopes_of_the_answer_are_compared_with_those_asked_for():
    """A scope that was asked for and is missing is named; without a scope in the answer all were granted."""
    fields = {"access_token": "abc", "token_type": "bearer", "expires_in": 300}
    some = grant.judge(answered(**fields, scope="a b"), asking("a", "c", "d"), NOW)
    assert [verdict.outcome for verdict in some.verdicts] == ["PASS", "PASS", "WARN"]
    assert some.verdicts[2].text == "not granted, though asked for in oauth.scopes: c d"
    every = grant.judge(answered(**fields), asking("a", "c"), NOW)
    assert [verdict.outcome for verdict in every.verdicts] == ["PASS", "PASS"]
    assert every.verdicts[1].text == "a Bearer token that lives for 300 s"


def test_the_offset_goes_on_with_the_token():
    """The claims are judged by the clock that made them."""
    fields = {"access_token": "abc", "expires_in": 300}
    found = grant.judge(answered(**fields, headers={"date": "Tue, 14 Nov 2023 23:13:20 GMT"}), asking(), NOW)
    assert found.ahead == 3600.0


@pytest.mark.parametrize(
    ("oauth", "oktas"),
    [
        ({}, True),
        ({"issuer": ORG}, True),
        ({"issuer": None, "token_url": f"{ISSUER}/v1/token"}, True),
        ({"issuer": "https://example.eu.auth0.com"}, False),
        ({"issuer": None, "token_url": "https://login.example.com/token?tenant=okta.com"}, False),
    ],
)
def test_before_any_answer_okta_is_known_by_its_domains(oauth, oktas):
    """Users of another server that is down are not sent to Okta's status page."""
    found = grant.judge(Failure("unreachable", "It was not reached."), asking(**oauth), NOW)
    assert ("status.okta.com" in found.verdicts[1].remedy[0]) is oktas


def test_a_failure_without_a_remedy_gets_one():
    """Being limited and being in trouble have remedies; the request's id is for the support."""
    limited = grant.refused(Failure("limited", "429.", delay=7.0, request_id="abc123"))
    assert limited.remedy[0].startswith("Try again in 7 s.")
    assert limited.remedy[1].endswith("x-okta-request-id abc123")
    assert grant.refused(Failure("limited", "429.")).remedy[0].startswith("Try again in a minute.")
    assert grant.refused(Failure("failed", "503.", status=503)).remedy[0].startswith("That passes by itself")


@pytest.mark.parametrize(
    ("status", "error", "remedy"),
    [
        (302, None, "A token endpoint does not redirect: a wrong address"),
        (200, None, "This server's answer has no token that can be used: check oauth.issuer or oauth.token_url."),
        (200, "temporarily_unavailable", "That passes by itself"),
    ],
)
def test_what_does_not_pass_by_itself_is_not_said_to(status, error, remedy):
    """A redirect and a success without a usable token are a wrong address, whatever the time."""
    assert grant.refused(Failure("failed", "no.", error=error, status=status)).remedy[0].startswith(remedy)


@pytest.mark.parametrize("secret", ["secret", "wrong", "client"])
def test_a_placeholder_as_the_secret_does_not_spoil_the_remedy(secret):
    """The remedy is chosen from the server's own words and printed whole, though the secret is one of ours."""
    told = {"error": "invalid_client", "error_description": "The client secret supplied is invalid."}
    failure = read_answer(Answer(401, {}, json.dumps(told).encode(), 1.0, NOW), secret)
    assert isinstance(failure, Failure)
    stream = io.StringIO()
    report = Report(stream, colours=False)
    report.hide(secret)
    report.add(grant.refused(failure))
    assert "Likely cause: the client secret is wrong. Copy it again into oauth.client_secret" in stream.getvalue()


def part(value):
    """Return a part of a JWT."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_a_jwt_is_decoded_without_its_signature():
    """Header and claims are read; the signature is not looked at."""
    assert claims.decode(f"{part({'typ': 'JWT'})}.{part({'sub': 'x'})}.no") == Content({"typ": "JWT"}, {"sub": "x"})


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a.b.c",
        "a.b",
        f"{part('[]')}.{part('{}')}.x",
        f"{part('{}')}.{part('{cut')}.x",
        f"{part('[' * 100000)}.{part('{}')}.x",
        "ä.ö.ü",
        ". .",
    ],
)
def test_what_is_no_jwt_is_not_decoded(token):
    """Whatever else a token is, it is not read."""
    assert claims.decode(token) is None


@pytest.mark.parametrize(
    ("token", "org", "outcome", "expected"),
    [
        ("opaque", "api.example.com", "SKIP", "those of Okta's org authorization server are, by contract"),
        ("opaque", "dev-1.okta.com", "WARN", "only Okta's own APIs can check it"),
        ("opaque", None, "SKIP", "only the server that issued it knows"),
        ("a.b.c.d.e", "dev-1.okta.com", "SKIP", "encrypted (JWE)"),
    ],
)
def test_why_a_token_is_not_looked_into(token, org, outcome, expected):
    """An opaque token is skipped with the reason, and is a warning if only Okta's own APIs could take it."""
    verdict = claims.unreadable(token, org, "api.example.com")
    assert verdict.outcome == outcome
    assert expected in verdict.text


@pytest.mark.parametrize(
    ("oauth", "host"),
    [
        ({"issuer": ORG}, "dev-1.okta.com"),
        ({"issuer": ISSUER}, None),
        ({"issuer": None, "token_url": "https://login.example.com/oauth2/v1/token?x=1"}, "login.example.com"),
        ({"issuer": None, "token_url": "https://login.example.com/oauth2/default/v1/token"}, None),
        ({"issuer": "https://idp.example.com"}, None),
    ],
)
def test_an_orgs_own_token_endpoint_is_known_by_its_path(oauth, host):
    """It is the one without the id of an authorization server, with a custom domain too."""
    assert grant.org_host(asking(**oauth)) == host


def judged(header=None, *, issuer=ISSUER, lifetime=3600.0, upstream_host="api.example.com", **claim):
    """Return the verdicts on claims, over those of a token that is as it should be."""
    usual = {"iss": ISSUER, "aud": "api://default", "sub": "0oa1", "exp": int(NOW) + 3600, "scp": ["a", "b"]}
    content = Content(header or {}, {name: value for name, value in (usual | claim).items() if value is not None})
    return claims.judge(content, issuer=issuer, lifetime=lifetime, now=NOW, upstream_host=upstream_host)


def outcomes(verdicts):
    """Return what the verdicts say in a word each."""
    return [verdict.outcome for verdict in verdicts]


def test_the_claims_are_shown():
    """The claims that an API goes by are shown in one line."""
    (verdict,) = judged()
    assert verdict.outcome == "PASS"
    assert verdict.text == f"iss {ISSUER}, aud api://default, sub 0oa1, scopes a b, expires in 3600 s"


@pytest.mark.parametrize(
    ("claim", "shown"),
    [
        ({"aud": ["one", "two", 3]}, "aud one two,"),
        ({"scp": None, "scope": "x y"}, "scopes x y,"),
        ({"scp": "x y"}, "scopes x y,"),
        ({"aud": {"a": 1}}, "sub 0oa1,"),
        ({"sub": "eyJhbGciOiJSUzI1NiJ9.x\x1b[2J"}, "sub *** [2J"),
    ],
)
def test_claims_of_other_shapes_are_shown(claim, shown):
    """Lists and texts are shown as text; what is neither, unprintable or a token is not."""
    assert shown in judged(**claim)[0].text


def test_a_jwt_without_claims_is_no_failure():
    """A JWT may say nothing at all."""
    (verdict,) = judged(iss=None, aud=None, sub=None, exp=None, scp=None)
    assert verdict.text == "the token is a JWT without any of the usual claims"


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        (ISSUER, ["PASS"]),
        (ISSUER + "/", ["PASS"]),
        (None, ["PASS"]),
        ("https://login.example.com/oauth2/default", ["PASS", "WARN"]),
    ],
)
def test_the_issuer_is_compared_but_for_a_slash(issuer, expected):
    """Another issuer than the configured one is a warning; a slash at the end is none."""
    assert outcomes(judged(issuer=issuer)) == expected


@pytest.mark.parametrize(
    ("expires", "expected"),
    [
        (NOW + 3600, ["PASS"]),
        (NOW + 3540, ["PASS"]),
        (NOW + 3539, ["PASS", "WARN"]),
        (NOW + 7200, ["PASS"]),
        (NOW, ["FAIL"]),
        (NOW - 1, ["FAIL"]),
        (True, ["PASS"]),
        ("soon", ["PASS"]),
        (float("inf"), ["PASS"]),
        (10**400, ["PASS"]),
    ],
)
def test_the_expiry_is_compared_with_expires_in(expires, expected):
    """A token that runs out earlier than expires_in says is a warning, one that has run out a failure."""
    assert outcomes(judged(exp=expires)) == expected


@pytest.mark.parametrize(
    ("header", "issuer", "host", "expected"),
    [
        ({"typ": "application/okta-internal-at+jwt"}, ORG, "api.example.com", ["PASS", "WARN"]),
        ({}, ORG, "api.example.com", ["PASS", "WARN"]),
        ({}, ORG, "dev-1.okta.com", ["PASS"]),
        ({"typ": "application/okta-internal-at+jwt"}, "no url", "api.example.com", ["PASS", "WARN"]),
        ({}, ISSUER, "api.example.com", ["PASS"]),
    ],
)
def test_a_token_of_the_org_is_for_oktas_own_apis(header, issuer, host, expected):
    """A token of the org authorization server is a warning, unless it goes to that very org."""
    assert outcomes(judged(header, iss=issuer, issuer=issuer, upstream_host=host)) == expected
