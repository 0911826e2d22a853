"""The text under the help of a command: examples, notes and exit codes."""

from __future__ import annotations

from deployments.cli.exit_codes import EXIT_CODES_HELP

EXAMPLE_ID = "req_01kaxvh5e2f3c4d5e6f7g8h9ja"


def epilog(*examples: str, notes: str = "", exit_codes: bool = False) -> str:
    """Return the text under a command's help. Each paragraph is one line, because typer keeps line breaks.

    Args:
        examples: Whole command lines.
        notes: More sentences.
        exit_codes: Whether to list the exit codes.
    """
    listed = f"Example: {examples[0]}" if len(examples) == 1 else "\n".join(["Examples:", *examples])
    return "\n\n".join(part for part in (listed, notes, EXIT_CODES_HELP if exit_codes else "") if part)
