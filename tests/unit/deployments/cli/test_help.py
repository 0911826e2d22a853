"""Every command explains itself."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from deployments.cli.main import app

COMMANDS = sorted(typer.main.get_group(app).commands)


def test_all_commands_are_known() -> None:
    assert {"up", "down", "demo", "submit", "status", "watch", "results", "keys", "backup", "restore", "doctor"} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_an_example_and_tells_of_json(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "100"})
    assert shown.exit_code == 0
    assert "Example" in shown.stdout, command
    assert "--json" in shown.stdout or command == "keys"
