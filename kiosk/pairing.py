"""How a kiosk gets its own token from a hub, keeps it, and has it renewed before it ends.

PairingError (a KioskError)    the hub did not pair this kiosk, or what it gave cannot be kept
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import re
import stat
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from kiosk import log
from kiosk.config import PAIRING_FILE, url_problem
from kiosk.errors import KioskError
from kiosk.model import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOG = logging.getLogger(__name__)

SCHEME = "whorl"
_AGAIN = 300.0  # seconds until a renewal that failed is tried again
_LONGEST = 7 * 86_400.0  # seconds; a hub that asks for less still gets a sign of life
_SHORTEST = 5.0  # seconds between two renewals, whatever a hub says
_CODE = re.compile(r"[0-9A-Za-z]")


class PairingError(KioskError):
    """The hub did not pair this kiosk, or what it gave cannot be kept."""


class Pairing(msgspec.Struct, frozen=True):
    """What a hub gave: where it is, the token, and the site's pepper (hex) for PINs.

    `incarnation` is the one whose key the hub knows.
    """

    url: str
    token: str
    device: str
    incarnation: str
    pepper: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Applicant:
    """The kiosk as it presents itself; `prove` signs with the key that `public` (hex) is of."""

    org: str
    site: str
    device: str
    incarnation: str
    name: str
    public: str
    prove: Callable[[bytes], str]


def kept(directory: Path) -> Pairing | None:
    """The pairing in a storage folder; None if there is none.

    Raises `PairingError` if it cannot be read, or others may read it.
    """
    path = directory / PAIRING_FILE
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read()
        pairing = msgspec.json.decode(data, type=Pairing)
    except FileNotFoundError:
        return None
    except (OSError, *UNREADABLE) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not as it was written"
        raise PairingError(f"the pairing in {path} cannot be read: {why}") from None
    if mode & 0o077:
        raise PairingError(f"the pairing in {path} can be read by others; do: chmod 600 {path}")
    return pairing


def keep(directory: Path, pairing: Pairing) -> None:
    """Write it down, whole or not at all, for its owner only; raises `PairingError`."""
    from kiosk.vault import write_private  # noqa: PLC0415  brings OpenSSL

    try:
        write_private(directory / PAIRING_FILE, msgspec.json.encode(pairing), replace=True)
    except OSError as error:
        raise PairingError(f"the pairing cannot be written: {error.strerror}") from error


def forget(directory: Path) -> bool:
    """Give the pairing up; whether there was one."""
    try:
        (directory / PAIRING_FILE).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PairingError(f"the pairing cannot be removed: {error.strerror}") from error
    return True


def invitation(url: str, code: str) -> str:
    """What the QR code of a pairing says."""
    return f"{SCHEME}:pair?{urlencode({'url': url, 'code': code})}"


def read_invitation(text: str) -> tuple[str, str]:
    """URL and code out of what a pairing's QR code says; raises `PairingError`."""
    parts = urlsplit(text.strip())
    given = parse_qs(parts.query)
    if parts.scheme != SCHEME or parts.path != "pair" or not {"url", "code"} <= given.keys():
        raise PairingError("that is no invitation to pair; give the hub's URL and the code")
    return given["url"][0], given["code"][0]


def pair(
    url: str, code: str, who: Applicant, *, insecure_lan: bool = False, ca: Path | None = None
) -> Pairing:
    """Exchange a one-time code for a token of this device's own; raises `PairingError`.

    `ca` holds certificates (PEM) to trust the hub's by, None for those of the system.
    """
    from sync.possession import pairing_statement  # noqa: PLC0415  brings OpenSSL

    url = url.rstrip("/")
    if problem := url_problem(url):
        raise PairingError(f"the hub's address {problem}")
    if not insecure_lan and _in_the_clear(url):
        raise PairingError(
            f"{url} is not https: others on the network could read the token; allow it with"
            " --insecure-lan if that is meant"
        )
    plain = "".join(_CODE.findall(code)).upper().translate(str.maketrans("OIL", "011"))
    names = (who.org, who.site, who.device, who.incarnation)
    wish = {
        "code": plain,
        "org": who.org,
        "site": who.site,
        "device": who.device,
        "incarnation": who.incarnation,
        "name": who.name,
        "key": who.public,
        "proof": who.prove(pairing_statement(plain, *names)),
    }
    status, answer = _posted(url, "/v1/pair", wish, ca=ca)
    if status != http.client.OK:
        raise PairingError(f"the hub refused ({status}): {answer.get('error', 'no reason')}")
    return _pairing(url, who.device, who.incarnation, answer)


class Renewer:
    """Keeps a pairing's token good, on a thread of its own; `token` is the present one.

    When to renew is what the hub said, in seconds from then: this kiosk's clock is not asked.
    """

    def __init__(
        self,
        directory: Path,
        pairing: Pairing,
        prove: Callable[[str, bytes], str],
        on_news: Callable[[], None] = lambda: None,
        ca: Path | None = None,
    ) -> None:
        """`prove` signs with an incarnation's key (hex). `on_news` is told of each new token.

        `ca` is as for `pair`.
        """
        self._ca = ca
        self._directory = directory
        self._pairing = pairing
        self._prove = prove
        self._on_news = on_news
        self._called = threading.Event()
        self._halted = threading.Event()
        self._thread: threading.Thread | None = None
        log.hide(pairing.token)

    def token(self) -> str:
        """What to show the hub."""
        return self._pairing.token

    def start(self) -> None:
        """Begin; the first renewal is at once, for nobody knows how old the token is."""
        self._thread = threading.Thread(target=self._run, name="hub-renewal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a request under way is waited for."""
        self._halted.set()
        self._called.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def refused(self) -> None:
        """The hub did not take the token: it may have expired, so try at once."""
        self._called.set()

    def renew(self) -> float:
        """Get a new token now; seconds until the next time. Raises `PairingError`."""
        status, answer = _posted(self._pairing.url, "/v1/renew", {}, self._pairing.token, self._ca)
        if status == http.client.UNAUTHORIZED and (challenge := answer.get("challenge")):
            status, answer = self._proven(str(challenge))
        if status != http.client.OK:
            raise PairingError(f"the hub renews no token ({status}): {answer.get('error', '')}")
        before = self._pairing
        told = _pairing(before.url, before.device, before.incarnation, answer)
        self._pairing = msgspec.structs.replace(before, token=told.token)
        log.hide(told.token)
        keep(self._directory, self._pairing)
        self._on_news()
        wait = answer.get("renew_in")
        return _within(float(wait)) if isinstance(wait, int | float) else _LONGEST

    def _proven(self, challenge: str) -> tuple[int, dict[str, Any]]:
        from sync.possession import renewal_statement  # noqa: PLC0415  brings OpenSSL

        proof = self._prove(self._pairing.incarnation, renewal_statement(challenge))
        body = {"challenge": challenge, "proof": proof}
        return _posted(self._pairing.url, "/v1/renew", body, self._pairing.token, self._ca)

    def _run(self) -> None:
        said = ""
        while not self._halted.is_set():
            called = self._called.is_set()
            self._called.clear()
            deaf = _SHORTEST
            try:
                wait, said = self.renew(), ""
                if called:
                    # The hub renews what it goes on refusing: that is not for the token's age.
                    deaf = min(_AGAIN, wait)
            except Exception as error:  # noqa: BLE001  whatever it is, it must be tried again
                wait = _AGAIN
                if str(error) != said:
                    said = str(error)
                    _LOG.warning("the token is not renewed: %s", error)
            # What calls again and again, as a line does that is refused, gets no quicker answer.
            if not self._halted.wait(deaf):
                self._called.wait(wait)


def _posted(
    url: str, path: str, body: dict[str, Any], token: str = "", ca: Path | None = None
) -> tuple[int, dict[str, Any]]:
    # Late: nobody waits for it, but everybody for the first frame.
    from kiosk.directory import DirectoryError, exchange  # noqa: PLC0415

    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        return exchange(url, "POST", path, msgspec.json.encode(body), headers, ca=ca)
    except DirectoryError as error:
        raise PairingError(str(error)) from error


def _pairing(url: str, device: str, incarnation: str, answer: dict[str, Any]) -> Pairing:
    given = {key: answer.get(key, "") for key in ("token", "pepper", "name")}
    with contextlib.suppress(msgspec.ValidationError):
        mine = {"url": url, "device": device, "incarnation": incarnation}
        found = msgspec.convert(given | mine, Pairing)
        if found.token and all("!" <= sign <= "~" for sign in found.token):
            return found
    raise PairingError(f"what answers at {url} is no hub")


def _in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname != "localhost"


def _within(seconds: float) -> float:
    return min(max(seconds, _SHORTEST), _LONGEST)
