"""The shape of the house: rooms on floors, imports that only go down, no circle, files that fit one sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = (
    ("errors", "version"),
    ("sample", "servers", "tools", "video", "words"),
    ("pages", "records"),
    ("convert", "models", "steps"),
    ("builders.readers",),
    ("builders", "evidence", "look", "prompts"),
    ("runs",),
    ("training",),
    ("", "generate", "imports", "judge"),
    ("builders.publish", "metrics", "predict"),
    ("step_scores",),
    ("annotate", "audit", "label", "rewards"),
    ("report",),
    ("demo", "export", "studies", "view"),
    ("commands",),
    ("cli",),
    ("__main__",),
)
"""Rooms from the ground up, `builders.` in front of those of the builder; `""` is `cotasks/__init__.py`. A room imports
from rooms on lower floors only. A new room gets its place here."""

LONGEST = 400
"""Lines of a source file."""

DATA = {"cotasks/sample/stories.py", "cotasks/sample/figures.py", "cotasks/words/lexicon.py"}
"""Files that hold data in the form of code: stories, figures and word lists."""


def modules(root: Path) -> dict[str, Path]:
    """{module: file} of the package and its builder."""
    found = {}
    for path in [*root.glob("cotasks/**/*.py"), *root.glob("builders/**/*.py")]:
        parts = list(path.relative_to(root).with_suffix("").parts)
        parts = ["cotasks", *parts] if parts[0] == "builders" else parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str, root: Path = ROOT) -> str:
    """`cotasks.prompts.view` -> `prompts`; `cotasks.builders.readers.star` -> `builders.readers`."""
    _, *parts = module.split(".")
    if parts[:1] == ["builders"] and len(parts) > 1 and (root / "builders" / parts[1]).is_dir():
        return f"builders.{parts[1]}"
    return parts[0] if parts else ""


@cache
def statements(code: str) -> tuple[tuple[ast.Import | ast.ImportFrom, bool], ...]:
    """(import, whether it is carried out when the file is imported) of each in the code."""
    tree = ast.parse(code)
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return tuple((node, id(node) not in late) for node in found)


def imports_of(path: Path, known: Mapping[str, Path]) -> Iterator[tuple[str, int, bool]]:
    """(module of the package, line, whether it is imported when the file is) of each import, wherever it stands."""
    for node, at_once in statements(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import; imports name their room"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                name = name if name in known else str(node.module)
                if name in known:
                    yield name, node.lineno, at_once
        else:
            yield from ((a.name, node.lineno, at_once) for a in node.names if a.name in known)


def upward(root: Path) -> list[str]:
    """The imports that do not go down, as `file:line: room imports room`."""
    floor = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
    known = modules(root)
    found = []
    for module, path in known.items():
        here = room_of(module, root)
        for target, line, _ in imports_of(path, known):
            there = room_of(target, root)
            if here != there and not floor[there] < floor[here]:
                found.append(f"{path.relative_to(root)}:{line}: {here or 'cotasks'} imports {there or 'cotasks'}")
    return found


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Some circle of the graph, or an empty list."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node in done:
            return []
        for target in sorted(graph.get(node, ())):
            if found := walk(target, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := walk(node, []))), [])


def test_every_room_has_its_floor() -> None:
    rooms = {room_of(module) for module in modules(ROOT)}
    assert rooms == {room for rooms in FLOORS for room in rooms}
    assert len([room for rooms in FLOORS for room in rooms]) == len(rooms)


def test_imports_go_down() -> None:
    assert upward(ROOT) == []


def test_no_file_imports_itself_in_a_circle() -> None:
    known = modules(ROOT)
    graph = {m: {t for t, _, _ in imports_of(path, known) if t != m} for m, path in known.items()}
    faces = {module for module, path in known.items() if path.name == "__init__.py"}
    # a face hands on what its room's files define; whoever imports a file imports its face, which is no circle of files
    assert circle({m: targets - faces for m, targets in graph.items() if m not in faces}) == []


@pytest.mark.parametrize("line", ["from cotasks.report.summary import Scored", "import cotasks.commands.build"])
def test_an_import_upwards_is_found(line: str, tmp_path: Path) -> None:
    for module, path in modules(ROOT).items():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text() + (f"\n{line}\n" if module == "cotasks.records.boxes" else ""))
    (found,) = upward(tmp_path)
    assert "cotasks/records/boxes.py" in found


def test_files_can_be_read_in_one_sitting() -> None:
    lines = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in modules(ROOT).values()}
    assert {name: n for name, n in lines.items() if n > LONGEST and name not in DATA} == {}
