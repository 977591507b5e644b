"""What the kills did, as a table."""

from tests.kill.killing import LONG_STAGES, Kill


def format_report(kills: list[Kill], expected: dict[str, str], found: dict[str, str]) -> str:
    """Markdown: a row a stage; `identical` compares the digest of its outs, last line all outs."""
    lines = [
        "| stage | kills | at start / work / end | resumed from | went on | "
        "seconds lost: mean, largest |",
        "|---|---|---|---|---|---|",
    ]
    for stage in LONG_STAGES:
        mine = [kill for kill in kills if kill.stage == stage.name]
        moments = [kill.moment for kill in mine]
        counts = " / ".join(str(moments.count(name)) for name in ("start", "work", "end"))
        points = " ".join(str(kill.resumed_from) for kill in mine) if stage.state else "no state"
        lost = [kill.seconds_lost for kill in mine]
        lines.append(
            f"| {stage.name} | {len(mine)} | {counts} | {points} | "
            f"{sum(kill.went_on for kill in mine)} | "
            f"{sum(lost) / max(1, len(lost)):.1f}, {max(lost, default=0):.1f} |"
        )
    paths = {*expected, *found}
    different = sorted(path for path in paths if expected.get(path) != found.get(path))
    lines.append(f"\nOuts compared with an undisturbed run: {len(paths)}; different: {different}.")
    return "\n".join(lines) + "\n"
