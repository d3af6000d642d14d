"""The lines of clients/README.md that generate stubs, each run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "clients" / "README.md").read_text(encoding="utf-8")
FILES, *RECIPES = re.findall(r"```sh\n(FILES=.*?)```", README, re.DOTALL)[0].split("\n\n")
WRITTEN = {  # one file of each language; by the first word of its recipe
    "Python": "trivet/v1/text_pb2_grpc.py",
    "C++": "grpc_service.grpc.pb.cc",
    "Go": "example/kservepb/grpc_service_grpc.pb.go",
    "Java": "trivet/v1/TextServiceGrpc.java",
    "Ruby": "grpc_service_services_pb.rb",
}
NEEDED = {
    "Python": (),
    "C++": ("protoc", "grpc_cpp_plugin"),
    "Go": ("protoc", "protoc-gen-go", "protoc-gen-go-grpc"),
    "Java": ("protoc", "grpc_java_plugin"),
    "Ruby": ("protoc", "grpc_ruby_plugin"),
}


def language(recipe: str) -> str:
    return recipe.split()[1]


@pytest.mark.parametrize("recipe", RECIPES, ids=language)
def test_stubs_are_generated_as_the_readme_says(recipe: str, tmp_path: Path) -> None:
    name = language(recipe)
    if missing := [program for program in NEEDED[name] if shutil.which(program) is None]:
        pytest.skip(f"{', '.join(missing)} not installed")
    script = f"{FILES}\n{recipe}".replace("OUT", str(tmp_path))
    script = script.replace("python -m", f"{sys.executable} -m")
    ended = subprocess.run(["bash", "-ec", script], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / WRITTEN[name]).is_file()


def test_every_recipe_is_tested() -> None:
    assert [language(recipe) for recipe in RECIPES] == list(WRITTEN)
