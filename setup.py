"""What pyproject.toml cannot say: `builders/` stands beside `cotasks/` and is installed inside it, as
`cotasks.builders`, never as a top-level `builders`. Packages are found, so that none is forgotten."""

from setuptools import find_packages, setup

setup(
    packages=find_packages(include=["cotasks", "cotasks.*"])
    + [f"cotasks.{name}" for name in find_packages(include=["builders", "builders.*"])],
    package_dir={"cotasks.builders": "builders"},
)
