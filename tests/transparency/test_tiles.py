import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash, node_hash
from domain.transparency.tiles import (
    ENTRIES,
    Tile,
    TileStream,
    decode_entries,
    encode_entries,
    perfect_root,
    required_paths,
    required_tiles,
    split_hashes,
    top_level,
)

TILES = st.builds(Tile, st.integers(ENTRIES, 63), st.integers(0, 2**63 - 1), st.integers(1, 256))


@given(TILES)
def test_a_printed_path_reads_back(tile: Tile) -> None:
    assert Tile.parse(tile.path) == tile


def test_paths_are_those_of_the_specification() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(ENTRIES, 0, 5).path == "tile/entries/000.p/5"
    assert Tile(1, 999).path == "tile/1/999"
    assert Tile(1, 1000, 255).path == "tile/1/x001/000.p/255"
    assert Tile(1, 1000, 255).full.path == "tile/1/x001/000"


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p",
        "tile/0/1000",
        "tile/0/001/000",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/data/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/\u0660/000",
    ],
)
def test_another_spelling_of_a_path_is_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        Tile.parse(path)


def test_a_tile_out_of_range_is_refused() -> None:
    for level, index, width in ((64, 0, 1), (-2, 0, 1), (0, -1, 1), (0, 2**63, 1), (0, 0, 0), (0, 0, 257)):
        with pytest.raises(MalformedError):
            Tile(level, index, width)


def test_the_example_of_the_specification_has_its_tiles() -> None:
    paths = list(required_paths(70_000))
    leaves = [path for path in paths if path.startswith("tile/0/")]
    assert len(leaves) == 274
    assert leaves[-1] == "tile/0/273.p/112"
    assert [path for path in paths if path.startswith(("tile/1/", "tile/2/"))] == [
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]


def test_no_size_asks_for_an_empty_tile() -> None:
    assert list(required_paths(0)) == []
    assert list(required_paths(1)) == ["tile/entries/000.p/1", "tile/0/000.p/1"]
    assert list(required_paths(256)) == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    assert list(required_paths(257)) == [
        "tile/entries/000",
        "tile/entries/001.p/1",
        "tile/0/000",
        "tile/0/001.p/1",
        "tile/1/000.p/1",
    ]


@given(st.integers(0, 200_000), TILES)
def test_a_tile_belongs_to_a_size_exactly_if_it_is_required(size: int, tile: Tile) -> None:
    near = Tile(min(tile.level, 3), tile.index % 1000, tile.width)
    for candidate in (tile, near, *list(required_tiles(size, near.level))[-2:]):
        assert candidate.belongs_to(size) == (candidate in set(required_tiles(size, candidate.level)))


@given(st.integers(1, 2**63 - 1))
def test_the_top_level_is_the_last_that_has_hashes(size: int) -> None:
    assert size >> 8 * top_level(size) > 0
    assert size >> 8 * (top_level(size) + 1) == 0


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_an_encoded_bundle_reads_back(entries: list[bytes]) -> None:
    data = encode_entries(entries)
    assert decode_entries(data, len(entries)) == (entries, len(data))
    if entries:
        with pytest.raises(MalformedError):
            decode_entries(data[:-1], len(entries))
    with pytest.raises(MalformedError):
        decode_entries(data, len(entries) + 1)


def test_an_entry_that_its_length_cannot_say_is_refused() -> None:
    assert decode_entries(encode_entries([b"x" * 65_535]), 1)[1] == 65_537
    with pytest.raises(MalformedError):
        encode_entries([b"x" * 65_536])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 257, 600, 65_535, 65_536, 65_537, 70_000])
@pytest.mark.parametrize("step", [1, 100, 256, 1000])
def test_the_stream_makes_exactly_the_tiles_of_the_size(size: int, step: int) -> None:
    if step == 1 and size > 600:
        size = 600
    leaves = [leaf_hash(index.to_bytes(4)) for index in range(size)]
    stream, made = TileStream(), dict[Tile, bytes]()
    for start in range(0, size, step):
        made.update(stream.push(leaves[start : start + step]))
    made.update(stream.partials())
    assert {tile.path for tile in made} == {path for path in required_paths(size) if "entries" not in path}
    for tile, data in made.items():
        assert len(split_hashes(data)) == tile.width
        below = 256**tile.level
        if tile.level and below <= 65_536:
            first = tile.index * 256 * below
            assert data[:32] == Frontier.empty().extend(leaves[first : first + below]).root()
    assert stream.frontier() == Frontier.empty().extend(leaves)


def test_the_root_of_two_hashes_is_their_node() -> None:
    left, right = leaf_hash(b"l"), leaf_hash(b"r")
    assert perfect_root([left, right]) == node_hash(left, right)
    with pytest.raises(MalformedError):
        split_hashes(left + b"x")


@pytest.mark.parametrize("width", [0, 3, 5, 6, 7, 255])
def test_hashes_that_make_no_perfect_tree_have_no_root(width: int) -> None:
    with pytest.raises(MalformedError):
        perfect_root([leaf_hash(bytes([at])) for at in range(width)])
