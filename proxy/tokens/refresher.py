"""
Keeps one token fresh: one flat loop owns fetching, everybody else may only ask.

Invariants. One fetch at a time. A failed fetch never replaces a usable token. `_token` is published by one
assignment, so the request path reads it without a lock. A caller that waits holds nothing: it may be cancelled.
Every wait is a nap of at most 15 s, after which the clocks are asked again (laptops sleep, timers don't notice).
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

import structlog

from proxy.config import OAuth
from proxy.errors import TokenRefusedError, TokenUnavailableError
from proxy.tokens import schedule
from proxy.tokens.answer import has_expiry, read_answer, request_id
from proxy.tokens.clock import Clock
from proxy.tokens.credentials import fingerprint
from proxy.tokens.endpoint import Fetched
from proxy.tokens.failure import Failure
from proxy.tokens.source import Token

REPEATED_LOG_INTERVAL = 600.0
"""The same failure is logged again after so many seconds, not with each try."""


class Endpoint(Protocol):
    """What the refresher needs of a token endpoint."""

    async def fetch(self) -> Fetched | Failure:
        """Ask once. Never raises but for cancellation."""
        ...


class Refresher:
    """
    The `TokenSource` of the whole process. `run` must run for as long as anybody asks.

    *chance* gives random numbers in [0, 1) for the jitter.
    """

    def __init__(
        self, settings: OAuth, endpoint: Endpoint, clock: Clock, *, chance: Callable[[], float] = random.random
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._clock = clock
        self._chance = chance
        self._log = structlog.get_logger("tokens")
        self._token: Token | None = None
        self._failure: Failure | None = None
        self._failures = 0
        self._next_try = clock.boot()
        self._held_until = clock.boot()
        """Until then not even a forced refresh is sent: the server named a time."""
        self._not_before = clock.boot()
        """Until then a token that ran out at once does not make the next fetch due."""
        self._fetching = False
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        """Set and replaced at the end of each fetch."""
        self._last_pull = -schedule.PULL_INTERVAL + clock.boot()
        self._forced: deque[float] = deque(maxlen=2)
        self._forced_pending = False
        self._suspected: Token | None = None
        self._streak = 0
        """How many tokens in a row were suspected before this one."""
        self._request_id: str | None = None
        self._fingerprint = fingerprint(settings)
        self._warned_expiry = False
        self._logged_failure: tuple[str, float] | None = None
        self.outcomes: Counter[str] = Counter()
        self.credential: str | None = None
        """Which credential the token that is held was fetched with: its `Credential.id`, a `kid` or a place from 1."""
        self.refreshed_at: float | None = None
        self.failed_at: float | None = None

    def __repr__(self) -> str:
        state = "fetching" if self._fetching else "idle"
        return f"<Refresher {self.usable() or 'no usable token'}, {state}>"

    # What the request path calls.

    def usable(self) -> Token | None:
        """Return the token if both clocks say that it can be sent now."""
        token, clock = self._token, self._clock
        if token is not None and clock.boot() < token.unusable_boot and clock.wall() < token.unusable_wall:
            return token
        return None

    def _can_be_sent(self, token: Token) -> bool:
        return self._clock.boot() < token.unusable_boot and self._clock.wall() < token.unusable_wall

    async def token(self) -> Token:
        """See `TokenSource.token`."""
        deadline = self._clock.boot() + self._settings.patience
        while (token := self.usable()) is None:
            self._pull_forward()
            now = self._clock.boot()
            if not self._is_due(now):
                self._raise_if_hopeless(now, deadline)
            if now >= deadline:
                raise self._unavailable(now)
            await self._clock.wait(self._settled, deadline - now)
        return token

    def suspect(self, token: Token) -> None:
        """See `TokenSource.suspect`."""
        if token is not self._token:
            return
        self._suspected = token
        now = self._clock.boot()
        if self._is_due(now):
            self._wake.set()  # after a suspend the loop may be in a nap that is late
        elif self._refused or now < self._held_until:
            return
        elif schedule.may_force(now, self._forced, self._streak):
            self._forced.append(now)
            self._forced_pending = True
            self._wake.set()

    async def successor(self, token: Token) -> Token | None:
        """See `TokenSource.successor`."""
        deadline = self._clock.boot() + self._settings.patience
        while True:
            newer = self.usable()
            if newer is not None and newer is not token:
                return newer
            now = self._clock.boot()
            if now >= deadline or not self._is_due(now):
                return None
            await self._clock.wait(self._settled, deadline - now)

    # What operators see and do.

    @property
    def expires_at(self) -> float | None:
        """The wall-clock second at which the token that is held expires, None without one."""
        return None if self._token is None else self._token.expires_wall

    @property
    def failure(self) -> Failure | None:
        """Why the last fetch failed, None if it succeeded."""
        return self._failure

    @property
    def next_try_at(self) -> float:
        """The wall-clock second of the next fetch, as planned now."""
        return self._clock.wall() + max(0.0, self._next_try - self._clock.boot())

    async def first_result(self, seconds: float) -> None:
        """Return when the first fetch has ended, or after so many *seconds*."""
        if self.refreshed_at is None and self.failed_at is None:
            await self._clock.wait(self._settled, seconds)

    async def refresh(self) -> Token | Failure:
        """Fetch now because a person asks, and return how it went; a time that the server named is still waited for."""
        now = self._clock.boot()
        if not self._fetching and now < self._held_until:
            wait = self._held_until - now
            return Failure("limited", f"The token endpoint asked us to wait; {wait:.0f} s are left.")
        settled = self._settled
        self._next_try = now
        self._wake.set()
        await settled.wait()
        if self._failure is not None or self._token is None:
            return self._failure or Failure("failed", "There is no token.")
        return self._token

    # The loop.

    async def run(self) -> None:
        """Fetch, and fetch again when it is due, until cancelled."""
        while True:
            self._notice_secret()
            self._notice_end()
            now = self._clock.boot()
            if self._is_due(now):
                await self._attempt()
                continue
            self._wake.clear()
            await self._clock.wait(self._wake, min(self._next_try - now, self._longest_nap()))

    def _longest_nap(self) -> float:
        # A new secret should end a refusal at once, so its file is looked at each second.
        return 1.0 if self._refused and self._fingerprint is not None else schedule.NAP

    @property
    def _refused(self) -> bool:
        return self._failure is not None and self._failure.outcome == "refused"

    def _is_due(self, now: float) -> bool:
        return self._fetching or self._forced_pending or now >= self._next_try

    def _notice_secret(self) -> None:
        """Make a fetch due when the secret changed after a refusal."""
        current = fingerprint(self._settings) if self._refused else self._fingerprint
        if current != self._fingerprint:
            self._fingerprint = current
            self._next_try = self._clock.boot()

    def _notice_end(self) -> None:
        """Make a fetch due when the token ran out before its time, because a clock jumped."""
        if self._failure is None and self._token is not None and self.usable() is None:
            self._next_try = min(self._next_try, max(self._clock.boot(), self._not_before))
            self._wake.set()  # the loop may be in a nap that was measured by the old time

    async def _attempt(self) -> None:
        self._forced_pending = False
        self._fetching = True
        self._fingerprint = fingerprint(self._settings)
        try:
            result = await self._fetch()
        finally:
            self._fetching = False
        if isinstance(result, Token):
            self._publish(result)
        else:
            self._postpone(result)
        settled, self._settled = self._settled, asyncio.Event()
        settled.set()

    async def _fetch(self) -> Token | Failure:
        try:
            fetched = await self._endpoint.fetch()
            if isinstance(fetched, Failure):
                return fetched
            self._note(fetched)
            result = read_answer(fetched.answer, fetched.secret)
            if isinstance(result, Failure):
                return result
            if not self._can_be_sent(result):
                return Failure("failed", "The token had run out when it arrived.", "Is the token endpoint slow?")
            self._request_id = request_id(fetched.answer, fetched.secret)
            self.credential = fetched.credential
            if not self._warned_expiry and not has_expiry(fetched.answer):
                self._warned_expiry = True
                self._log.warning("token_lifetime_unknown", assumed_seconds=schedule.DEFAULT_LIFE)
        except Exception:  # noqa: BLE001 - the loop must survive our own bugs: without it no request is answered any more
            self._log.exception("token_fetch_crashed")
            return Failure("failed", "An internal error kept the token from being fetched.", "See the log.")
        return result

    def _note(self, fetched: Fetched) -> None:
        """Log what went wrong on the way, and was mended by the fetch itself."""
        if fetched.refused:
            refused = ", ".join(fetched.refused)
            self._log.warning("credential_refused", refused_id=refused, tried_id=fetched.credential)
        if fetched.ahead is not None:
            remedy = "Set this machine's clock (NTP)."
            self._log.warning("clock_differs", server_ahead=round(fetched.ahead), remedy=remedy)

    def _publish(self, token: Token) -> None:
        # Counted from one generation to the next, whoever asked for it: an upstream that refuses them all is meant.
        self._streak = self._streak + 1 if self._token is not None and self._token is self._suspected else 0
        self._token = token
        self._failure, self._failures, self._logged_failure = None, 0, None
        now = self._clock.boot()
        after = schedule.refresh_after(token.lifetime, self._chance())
        self._held_until = now
        self._not_before = now + schedule.LEAST_GAP
        self._next_try = max(token.expires_boot - token.lifetime + after, self._not_before)
        self.outcomes["ok"] += 1
        self.refreshed_at = self._clock.wall()
        self._log.info(
            "token_refreshed",
            lifetime=round(token.lifetime),
            next_refresh_in=round(self._next_try - now),
            okta_request_id=self._request_id,
        )

    def _postpone(self, failure: Failure) -> None:
        self._failure = failure
        self._failures += 1
        now = self._clock.boot()
        if failure.outcome == "refused":
            delay = schedule.REFUSED_DELAY
        elif failure.delay is not None:
            delay = failure.delay
            self._held_until = now + delay
        else:
            delay = schedule.backoff(self._failures, reached=failure.reached, chance=self._chance())
        self._next_try = now + delay
        self.outcomes[failure.outcome] += 1
        self.failed_at = self._clock.wall()
        self._log_failure(failure, delay)

    def _log_failure(self, failure: Failure, delay: float) -> None:
        now = self._clock.boot()
        if self._logged_failure is not None:
            message, at = self._logged_failure
            if message == failure.message and now - at < REPEATED_LOG_INTERVAL:
                return
        self._logged_failure = (failure.message, now)
        level = self._log.error if failure.outcome == "refused" else self._log.warning
        level(
            "token_refresh_failed",
            outcome=failure.outcome,
            reason=failure.message,
            remedy=failure.remedy or None,
            failures=self._failures,
            next_try_in=round(delay, 1),
            okta_request_id=failure.request_id,
            usable_token=self.usable() is not None,
        )

    # Who may hurry the loop.

    def _pull_forward(self) -> None:
        """Let a waiting request make the next try due now: once in 5 s, and not against the server's word."""
        self._notice_end()
        now = self._clock.boot()
        if self._is_due(now):
            self._wake.set()
        elif not self._refused and now >= self._held_until and now - self._last_pull >= schedule.PULL_INTERVAL:
            self._last_pull = now
            self._next_try = now
            self._wake.set()

    def _raise_if_hopeless(self, now: float, deadline: float) -> None:
        if self._failure is not None and self._refused:
            raise TokenRefusedError(self._failure.detail)
        if self._next_try > deadline:
            raise self._unavailable(now)

    def _unavailable(self, now: float) -> TokenUnavailableError:
        reason = self._failure.detail if self._failure is not None else "The token endpoint has not answered yet."
        # While a fetch is under way its end is near; nothing better is known.
        wait = 1.0 if self._is_due(now) else self._next_try - now
        return TokenUnavailableError(f"There is no usable token. {reason}", retry_after=wait)
