"""Documents by key."""

from pathlib import Path

import pytest

from skerry.store.database import Database
from skerry.store.documents import DOCUMENTS, Documents


async def test_documents_live_in_their_collection_until_deleted(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "d.db", [DOCUMENTS])
    twins, keys = Documents(database, "twins"), Documents(database, "keys")
    await twins.put("a", {"temp": 21.5, "ünï": [1, None, True]})
    await twins.put_all({"b": 1, "b/c": 2, "a": {"temp": 22}})
    assert twins.get("a") == {"temp": 22}
    assert keys.get("a") is None
    assert await twins.items() == [("a", {"temp": 22}), ("b", 1), ("b/c", 2)]
    assert await twins.items("b") == [("b", 1), ("b/c", 2)]
    assert await twins.delete("b")
    assert not await twins.delete("b")
    assert not await keys.delete("a")
    await database.close()
    again = await Database.open(tmp_path / "d.db", [DOCUMENTS])
    assert await Documents(again, "twins").items() == [("a", {"temp": 22}), ("b/c", 2)]
    await again.close()


async def test_what_json_cannot_say_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "d.db", [DOCUMENTS])
    documents = Documents(database, "x")
    with pytest.raises(ValueError, match=r"JSON compliant"):
        await documents.put_all({"good": 1, "bad": float("nan")})
    assert await documents.items() == []
    await database.close()
