"""What the doctor makes of an API's answer to the token."""

import pytest
from kit import RawUpstream, make_token, settings

from proxy.cli.doctor import rejection, upstream
from proxy.cli.doctor.rejection import Subject
from proxy.cli.doctor.upstream import Answer
from proxy.errors import UpstreamTimeoutError

SUBJECT = Subject("api.example.com", "the-token-value", "https://dev-1.okta.com/oauth2/default", "api://default")


def judged(status, *challenges, subject=SUBJECT, **headers):
    """Return the verdict on an answer with these WWW-Authenticate lines."""
    lines = [(b"WWW-Authenticate", challenge.encode()) for challenge in challenges]
    lines += [(name.encode(), value.encode()) for name, value in headers.items()]
    return upstream.judge(Answer(status, lines), "GET https://api.example.com/", subject)


@pytest.mark.parametrize(
    ("challenge", "cause"),
    [
        (
            'Bearer error="invalid_token", error_description="The audience is invalid"',
            "another audience than the API's (api://default)",
        ),
        (
            'Bearer error="invalid_token", error_description="Issuer not trusted"',
            "another issuer than the token's (https://dev-1.okta.com/oauth2/default)",
        ),
        ('Bearer error="invalid_token", error_description="expired"', "though it is new"),
        ('Bearer error="invalid_token", error_description="revoked"', "Is the app active?"),
        (
            'Bearer error="invalid_token", error_description="bad signature"',
            "fetch the issuer's keys (https://dev-1.okta.com/oauth2/default)",
        ),
        (
            'Bearer error="invalid_token"',
            "the token's issuer is https://dev-1.okta.com/oauth2/default and audience is api://default",
        ),
        ('Bearer realm="x"', "the API expects another issuer or another audience"),
        ('DPoP algs="ES256"', "wants a DPoP-bound token"),
        ('Basic realm="x", DPoP', "wants a DPoP-bound token"),
        ('Bearer, DPoP algs="ES256"', "the API expects another issuer"),
        ('Basic realm="Qualys"', "asks for another kind of credentials"),
    ],
)
def test_a_challenge_tells_the_likely_cause(challenge, cause):
    """The cause of a 401 is read from its WWW-Authenticate, and the token's own claims stand beside it."""
    verdict = judged(401, challenge)
    assert verdict.outcome == "FAIL"
    assert f"with WWW-Authenticate: {challenge}" in verdict.text
    assert verdict.remedy[0].startswith("That is the API's own answer")
    assert cause in verdict.remedy[1]


def test_a_401_without_a_challenge_is_no_riddle():
    """Many APIs give no reason; then issuer and audience are what to compare."""
    verdict = judged(401, subject=Subject("api.example.com"))
    assert verdict.text.endswith("answered 401, without a WWW-Authenticate")
    assert "the API expects another issuer or another audience. Compare both" in verdict.remedy[1]


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("qualysapi.qualys.com", True),
        ("qualysapi.qg2.apps.qualys.eu", True),
        ("qualysapi.qg1.apps.qualysksa.com", True),
        ("notqualys.com", False),
        ("api.example.com", False),
    ],
)
def test_qualys_has_conditions_of_its_own(host, told):
    """For a host of Qualys the remedy says what its Support has to switch on."""
    assert any("Qualys" in line for line in judged(401, subject=Subject(host)).remedy) is told


def test_the_token_is_not_shown():
    """A token that the API repeats is stars, and a subject's repr does not hold it."""
    verdict = judged(401, 'Bearer error="invalid_token", error_description="the-token-value is bad"')
    assert "the-token-value" not in verdict.text
    assert "the-token-value" not in repr(SUBJECT)


@pytest.mark.parametrize(
    ("status", "challenges", "outcome"),
    [
        (200, (), "PASS"),
        (204, (), "PASS"),
        (304, (), "PASS"),
        (400, (), "PASS"),
        (404, (), "PASS"),
        (404, ("Bearer",), "PASS"),
        (404, ('Bearer error="invalid_token"',), "FAIL"),
        (400, ('DPoP error="invalid_dpop_proof"',), "FAIL"),
        (403, (), "WARN"),
        (403, ("Bearer",), "WARN"),
        (403, ('Bearer error="insufficient_scope", scope="x"',), "FAIL"),
        (403, ('Bearer error="invalid_token"',), "FAIL"),
        (429, (), "WARN"),
        (500, (), "WARN"),
        (503, ('Bearer error="invalid_token"',), "WARN"),
    ],
)
def test_each_status_has_its_verdict(status, challenges, outcome):
    """What does not refuse the token passes, what says nothing about it is a warning, what refuses it fails."""
    assert judged(status, *challenges).outcome == outcome


def test_a_redirect_shows_where_without_its_query():
    """A redirect's address is shown as far as it holds no secret; one without an address is nothing special."""
    assert "(to /login)" in judged(302, Location="/login?ticket=abc#x").text
    assert "(to" not in judged(304).text


def test_an_answer_of_the_proxy_itself_is_recognized():
    """An okta-proxy behind upstream.url is a mistake, whatever it answers."""
    verdict = judged(421, **{"Proxy-Status": "okta-proxy; error=http_request_denied"})
    assert verdict.outcome == "FAIL"
    assert "okta-proxy" in verdict.text


def test_without_claims_nothing_is_claimed():
    """For an opaque token neither issuer nor audience is shown."""
    verdict = rejection.rejected("x", [b'Bearer error_description="wrong audience"'], {""}, Subject("a"))
    assert "another audience than the API's. Set" in verdict.remedy[1]


async def test_an_upstream_that_does_not_answer_is_a_warning():
    """A connection without an answer in time says nothing about the token."""

    async def silent(raw, connection):
        await raw.request(connection)
        await connection.rest()

    async with RawUpstream(silent) as raw:
        configuration = settings(raw.url)
        assert await upstream.probe(configuration, make_token("abc"), seconds=0.05) is None
        await raw.closed.wait()
    assert b"authorization: bearer abc" in raw.heads[0].lower()


async def test_a_connection_that_does_not_come_is_a_timeout():
    """A TLS server that says nothing is given up in time."""

    async def silent(_, connection):
        await connection.rest()

    async with RawUpstream(silent) as raw:
        with pytest.raises(UpstreamTimeoutError, match="within 10 s"):
            await upstream.probe(settings(raw.url.replace("http://", "https://")), None, seconds=0.2)
        await raw.closed.wait()


def test_no_answer_in_time_is_said():
    """The step says that it connected, and that the token's fate is open."""
    verdict = upstream.judge(None, "GET https://api.example.com/", SUBJECT)
    assert verdict.outcome == "WARN"
    assert "connected, but no answer within 10 s" in verdict.text
