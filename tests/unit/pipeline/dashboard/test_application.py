"""The dashboard over HTTP: who may look, what is pushed, and the bounds on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pipeline.dashboard.access import COOKIE, TokenCheck, new_token
from pipeline.dashboard.application import POLICY
from pipeline.dashboard.hub import Hub, Readers
from pipeline.dashboard.view import Activity, Health
from tests.unit.pipeline.dashboard.server import TOKEN, Figures, figures, hub_of, serving

BEARER = {"authorization": f"Bearer {TOKEN}"}
SCRIPTS = ["/dashboard.js", "/elements.js", "/panels.js", "/newest.js", "/charts.js", "/plotly.min.js"]
GUARDED = ["/snapshot", "/live", "/events", *SCRIPTS]


@pytest.fixture
def shown() -> Figures:
    return figures()


@pytest.fixture
async def server(shown: Figures) -> AsyncIterator[tuple[str, Hub]]:
    async with serving(shown) as found:
        yield found


@pytest.fixture
async def client(server: tuple[str, Hub]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server[0], timeout=20) as found:
        yield found


async def snapshots(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def nobody_looks(hub: Hub) -> None:
    async with asyncio.timeout(20):
        while hub.viewers:  # noqa: ASYNC110  what it waits for sets no event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("path", [*GUARDED, "/"])
async def test_without_the_token_nothing_is_shown(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 401
    assert "page_view" not in answer.text


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\xe9", "*"])
async def test_a_wrong_token_opens_nothing(client: httpx.AsyncClient, token: str) -> None:
    header = {"authorization": b"Bearer " + token.encode()} if token else {}
    assert (await client.get("/snapshot", headers=header)).status_code == 401
    assert (await client.get("/", params={"token": token})).status_code == 401
    assert (await client.post("/login", data={"token": token})).status_code == 401
    assert (await client.get("/snapshot", headers={"cookie": f"{COOKIE}=x{len(token)}"})).status_code == 401


async def test_the_token_opens_everything_by_header(client: httpx.AsyncClient) -> None:
    for path in ("/snapshot", "/events", *SCRIPTS, "/"):
        assert (await client.get(path, headers=BEARER)).status_code == 200, path


async def test_the_token_in_the_url_becomes_a_cookie_and_leaves_the_url(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert (await client.get("/")).status_code == 200
    assert (await client.get("/snapshot")).status_code == 200


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1:8010", f"{COOKIE}_8010"),
        ("[::1]:8011", f"{COOKIE}_8011"),
        ("proxy.example", COOKIE),
        ("x:y", COOKIE),
    ],
)
async def test_dashboards_on_other_ports_of_a_host_have_other_cookies(
    client: httpx.AsyncClient, host: str, name: str
) -> None:
    answer = await client.get("/", params={"token": TOKEN}, headers={"host": host})
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert cookie.startswith(f"{name}=")
    client.cookies.clear()
    for port, status in ((host, 200), ("127.0.0.1:9", 401)):
        asked = {"host": port, "cookie": cookie}
        assert (await client.get("/snapshot", headers=asked)).status_code == status


async def test_the_token_can_be_typed_into_the_form(client: httpx.AsyncClient) -> None:
    assert 'action="/login"' in (await client.get("/")).text
    wrong = await client.post("/login", data={"token": "wrong"})
    assert "That is not the token." in wrong.text
    assert (await client.post("/login", data={"token": TOKEN})).status_code == 303
    assert (await client.get("/snapshot")).status_code == 200


def test_the_cookie_of_one_token_is_not_that_of_another() -> None:
    assert TokenCheck("one token of many")._cookie != TokenCheck("one token of manz")._cookie
    assert new_token() != new_token()
    with pytest.raises(ValueError, match="open to everyone"):
        TokenCheck("")


@pytest.mark.parametrize("path", ["/", "/snapshot", "/style.css", "/plotly.min.js", "/nothing", "/events", "/login"])
async def test_every_answer_has_the_policy_and_none_lets_other_origins_read(
    client: httpx.AsyncClient, path: str
) -> None:
    for headers in ({}, BEARER):
        answer = await client.get(path, headers={**headers, "origin": "https://elsewhere.example"})
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_policy_allows_no_script_and_no_style_inside_a_page() -> None:
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY


async def test_the_page_has_no_script_or_style_within(client: httpx.AsyncClient) -> None:
    for answer in (await client.get("/"), await client.get("/", headers=BEARER)):
        assert "style=" not in answer.text
        assert "<style" not in answer.text
        assert " on" not in answer.text.replace(" once", "").replace(" one", "").replace(" on ", " ")
        assert answer.text.count("<script") == answer.text.count("<script src=")
        assert "http" not in answer.text.lower()


async def test_files_are_compressed_and_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/plotly.min.js", headers=BEARER)
    assert first.headers["content-encoding"] == "gzip"
    assert len(first.content) > 1_000_000
    again = await client.get("/plotly.min.js", headers={**BEARER, "if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_snapshot_has_what_the_page_shows(client: httpx.AsyncClient) -> None:
    found = (await client.get("/snapshot", headers=BEARER)).json()
    assert found["activity"]["last_hour"]["pages"]["names"] == [{"name": "/home", "count": 1}]
    assert found["activity"]["users_today"] == 1
    assert found["health"]["groups"][0]["members"][0]["partitions"] == 1
    assert found["stored"] == {"events": 1}
    assert found["mongo"]["error"] == found["kafka"]["error"] == ""


async def test_snapshots_are_pushed(client: httpx.AsyncClient, shown: Figures) -> None:
    async with client.stream("GET", "/live", headers=BEARER) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        following = snapshots(answer)
        assert (await anext(following))["stored"] == {"events": 1}
        shown.stored = 8
        async with asyncio.timeout(20):
            while (await anext(following))["stored"] != {"events": 8}:
                pass


async def test_with_mongodb_away_the_last_figures_stay_and_say_how_old_they_are(
    client: httpx.AsyncClient, shown: Figures
) -> None:
    before = (await client.get("/snapshot", headers=BEARER)).json()
    shown.mongo_is_away = True
    await asyncio.sleep(0.3)
    away = (await client.get("/snapshot", headers=BEARER)).json()
    assert away["activity"] == before["activity"]
    assert away["mongo"]["at_ms"] == before["mongo"]["at_ms"]
    assert away["mongo"]["error"] == "MongoDB at db:27017 does not answer"
    assert away["mongo"]["since_ms"] > before["mongo"]["at_ms"]
    assert away["kafka"]["at_ms"] > before["kafka"]["at_ms"]
    assert "secret" not in json.dumps(away)
    shown.mongo_is_away = False
    await asyncio.sleep(0.3)
    assert (await client.get("/snapshot", headers=BEARER)).json()["mongo"]["error"] == ""


async def test_a_part_that_answers_late_does_not_hold_up_the_other(shown: Figures) -> None:
    late = asyncio.Event()

    async def health() -> Health:
        await late.wait()
        return shown.health

    async def stored() -> int | None:
        return shown.stored

    async def activity() -> Activity:
        return shown.activity

    hub = hub_of(Readers(activity=activity, stored=stored, health=health))
    late.set()
    assert json.loads(await hub.snapshot())["kafka"]["at_ms"] > 0
    late.clear()
    for stored_events in (10, 11):  # while one and the same question to Kafka is open
        await asyncio.sleep(0.25)
        shown.stored = stored_events
        found = json.loads(await hub.snapshot())
        assert (found["stored"]["events"], found["kafka"]["error"]) == (stored_events, "")
    late.set()
    await asyncio.sleep(0.25)
    newer = json.loads(await hub.snapshot())
    assert newer["kafka"]["at_ms"] > found["kafka"]["at_ms"]


async def test_an_answer_that_cannot_be_read_is_said_and_the_other_part_goes_on(shown: Figures) -> None:
    async def broken() -> Activity:
        raise RuntimeError("secret of the inside")

    async def stored() -> int | None:
        return 1

    async def health() -> Health:
        return shown.health

    hub = hub_of(Readers(activity=broken, stored=stored, health=health))
    found = json.loads(await hub.snapshot())
    assert "could not be read" in found["mongo"]["error"]
    assert "secret" not in found["mongo"]["error"]
    assert found["health"]["accepted"] == 1


async def test_before_the_first_answer_there_are_no_figures(client: httpx.AsyncClient, shown: Figures) -> None:
    shown.mongo_is_away = True
    found = (await client.get("/snapshot", headers=BEARER)).json()
    assert (found["activity"], found["stored"], found["mongo"]["at_ms"]) == (None, None, 0)


async def test_one_viewer_too_many_is_refused_with_a_time_to_try_again(server: tuple[str, Hub]) -> None:
    url, hub = server
    async with httpx.AsyncClient(base_url=url, timeout=20, headers=BEARER) as client:
        open_ones = [client.stream("GET", "/live") for _ in range(3)]
        for each in open_ones:
            answer = await each.__aenter__()
            assert answer.status_code == 200
        async with asyncio.timeout(20):
            refused = await client.get("/live")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        for each in open_ones:
            await each.__aexit__(None, None, None)
        await nobody_looks(hub)
        async with client.stream("GET", "/live") as answer:
            assert answer.status_code == 200


async def test_nothing_is_read_while_nobody_looks(server: tuple[str, Hub]) -> None:
    url, hub = server
    async with (
        httpx.AsyncClient(base_url=url, timeout=20, headers=BEARER) as client,
        client.stream("GET", "/live") as answer,
    ):
        await anext(snapshots(answer))
    await nobody_looks(hub)
    await asyncio.sleep(0.3)
    made = hub._made_s
    await asyncio.sleep(0.6)
    assert hub._made_s == made


async def test_the_newest_events_come_with_the_filter_that_was_asked_for(
    client: httpx.AsyncClient, shown: Figures
) -> None:
    answer = await client.get("/events", params={"type": "a&b", "user": "x" * 2_000, "url": "/{"}, headers=BEARER)
    assert answer.json()["events"][0]["user_id"] == "123"
    (asked,) = shown.asked
    assert (asked.event_type, len(asked.user_id), asked.url) == ("a&b", 200, "/{")


async def test_a_long_body_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.post("/login", content=b"token=" + b"x" * 100_000)).status_code == 413


async def test_ending_lets_viewers_go(shown: Figures) -> None:
    async with (
        serving(shown) as (url, hub),
        httpx.AsyncClient(timeout=20, headers=BEARER) as client,
        client.stream("GET", f"{url}/live") as answer,
    ):
        following = snapshots(answer)
        await anext(following)
        hub.close()
        async with asyncio.timeout(20):
            async for _ in following:
                pass


async def test_a_query_of_many_fields_is_no_crash(client: httpx.AsyncClient) -> None:
    query = "&".join(f"a{each}=" for each in range(300))
    assert (await client.get(f"/?{query}")).status_code == 401
    assert (await client.get(f"/events?{query}", headers=BEARER)).status_code == 200
    assert (await client.post("/login", content=query)).status_code == 401
