"""The report of a soak: what was seen, and the verdict."""

import sys
from typing import Any

from faults.soaking.growth import Sample
from faults.soaking.run import Soak


def report(soak: Soak, told: dict[str, Any], seconds: float) -> str:
    """Say what was seen, and what was violated."""
    tally, samples = soak.tally, soak.samples
    asked, faults = sum(told["asked"].values()), told["faults"]
    lines = [
        f"{seconds:.0f} s, seed {soak.ground.order.seed}; Python {sys.version.split()[0]}",
        f"walks      {tally.started:,} begun, {tally.most_under_way:,} at a time at most: {listed(tally.ended)}",
        f"           {tally.resumed:,} of the whole ones went on after errors; {tally.chats:,} chats came",
        f"errors     {listed(tally.errors)}",
        f"requests   {asked:,}, {asked / seconds:,.0f} a second, {told['peak']:,} in flight at most",
        f"pages      {tally.pages:,} read",
        f"faults     {sum(faults.values()):,}: {listed(faults)}",
        f"stops      {listed(tally.stops)}",
        "",
        f"{'second':>8}{'walks':>8}{'tasks':>8}{'open':>8}{'objects':>10}{'MB':>8}",
    ]
    step = max(1, len(samples) // 15)
    lines += [row(f"{sample.second:.0f}", sample) for sample in samples[:-1:step]]
    lines += [row("at end", samples[-1]), ""]
    lines += [f"VIOLATED {count} times: {what}" for what, count in tally.violations.most_common()]
    lines += [] if tally.violations else ["nothing was violated"]
    return "\n".join(lines)


def row(name: str, sample: Sample) -> str:
    counts = f"{sample.walks:>8,}{sample.tasks:>8,}{sample.descriptors:>8,}{sample.objects:>10,}"
    return f"{name:>8}{counts}{sample.rss / 1e6:>8.1f}"


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1])) or "none"
