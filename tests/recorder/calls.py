"""What segments ask for and tell."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Log:
    """What segments asked for and told."""

    heads: list[bool] = field(default_factory=list)
    tails: list[bool] = field(default_factory=list)
    sealed: list[str] = field(default_factory=list)

    def head(self, clean: bool) -> bytes:
        self.heads.append(clean)
        return b"<"

    def tail(self, clean: bool) -> bytes:
        self.tails.append(clean)
        return b">"
