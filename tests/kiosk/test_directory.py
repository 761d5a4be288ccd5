from __future__ import annotations

import pytest

from kiosk.directory import DirectoryError, HubClient
from kiosk.model import Person


def test_a_hub_that_is_not_there_is_named(unused_tcp_port):
    client = HubClient(f"http://127.0.0.1:{unused_tcp_port}", "t", "club", "hall")
    with pytest.raises(DirectoryError, match=f"127.0.0.1:{unused_tcp_port} does not answer"):
        client.send_people([Person("a", "A")])


@pytest.mark.parametrize("url", ["http://host:port", "http://[::1", "http://"])
def test_an_address_that_is_none_is_no_hub(url):
    with pytest.raises(DirectoryError, match="does not answer"):
        HubClient(url, "t", "club", "hall").send_people([])
