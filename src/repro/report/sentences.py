"""One sentence a kind of finding, for terminal, Markdown and page alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from repro.model import Estimate, Figures, Finding, Verdict
from repro.text import command, counted, estimate, line, listed, mebibytes, ratio, seconds

CHANGES = {
    "": "as posted",
    "threads": "SetNumberOfThreads",
    "pool": "the Pool threader",
    "platform": "the Platform threader",
    "tbb": "the TBB threader",
    "units": "as many work units for the executable",
    "bins": "fewer histogram bins",
}
_ANSWERS = {"yes": "Yes", "no": "No", "unclear": "Not clear", "unknown": "Too few blocks to say"}


def say(finding: Finding) -> str:
    """The finding as one sentence, or two short ones."""
    return _SAID[finding.kind](finding.figures)


def headline(pairs: Sequence[Finding]) -> str:
    """The answer to the post in one sentence, from the findings `pair` of all pairs and machines."""
    many, own, cured = (_judged_all(pairs, name) for name in ("many", "own", "cured"))
    threads = sorted({int(n) for one in pairs if isinstance(n := one.figures["threads"], int)})
    seen = listed(str(n) for n in threads) + " threads"
    first = f"With {seen} {_clause(many, 'the executable')}" if many else ""
    if not first and own:
        first = f"As posted, with this machine's threads, {_clause(own, 'the executable')}"
    if not first:
        return "Nothing was measured as posted yet."
    second = f"with SetNumberOfThreads {_clause(cured)}" if cured else ""
    if not second and many and own:
        second = f"with this machine's own threads {_clause(own)}"
    return f"{first}; {second}." if second else f"{first}."


def conditions(base: str, other: str, verdicts: Sequence[Verdict]) -> str:
    """What a comparison of two builds says, in one sentence."""
    return f"Against {build(base)}, {counted_verdicts(verdicts, build(other))}"


def counted_verdicts(verdicts: Sequence[Verdict], whose: str) -> str:
    """`the API is slower in 2 and no different in 1 of 3 conditions.`"""
    words = {
        Verdict.SLOWER: "slower in {}",
        Verdict.FASTER: "faster in {}",
        Verdict.NO_DIFFERENCE: "no different in {}",
        Verdict.CANNOT_TELL: "without a verdict in {}",
    }
    number = Counter(verdicts)
    parts = [word.format(number[verdict]) for verdict, word in words.items() if number[verdict]]
    said = f"{whose} is {listed(parts)} of {counted(len(verdicts), 'condition')}."
    return said[:1].upper() + said[1:] if whose.startswith("the") else said


def build(name: str | None) -> str:
    """`api 0.25.4` of `api:0.25.4`."""
    return line((name or "").replace(":", " ", 1), 40)


def changes(name: str) -> str:
    """A set of changes in words."""
    return " and ".join(CHANGES.get(one, line(one, 30)) for one in name.split("+"))


def verdict_words(verdict: object) -> str:
    """The verdict; nothing where too few blocks give none, which the page says once."""
    return "" if verdict in (None, Verdict.CANNOT_TELL) else str(verdict)


def judged(found: object, verdict: object) -> str:
    """`14.4 [14, 14.9] (slower)`: a ratio that has a verdict never stands without it."""
    words = verdict_words(verdict)
    return f"{_estimate(found)} ({words})" if words else _estimate(found)


def reach(values: Sequence[float]) -> str:
    """`3.62 to 19.0`, or `3.62`."""
    low, high = ratio(min(values)), ratio(max(values))
    return low if low == high else f"{low} to {high}"


def _short_reach(values: Sequence[float]) -> str:
    """`3.6 to 19`: two digits are enough for a headline."""
    low, high = (
        f"{end:.2f}" if end < 0.995 else f"{end:.1f}" if end < 9.95 else f"{end:,.0f}"
        for end in (min(values), max(values))
    )
    return low if low == high else f"{low} to {high}"


def _judged_all(pairs: Sequence[Finding], name: str) -> list[tuple[float, object]]:
    found = ((one.figures[name], one.figures[f"{name}_verdict"]) for one in pairs)
    return [(value.value, verdict) for value, verdict in found if isinstance(value, Estimate)]


def _clause(found: Sequence[tuple[float, object]], than: str = "") -> str:
    """What the ratios of all pairs say: `the API is 3.6 to 19 times slower than the executable`."""
    values, verdicts = [value for value, _ in found], {verdict for _, verdict in found}
    of = f" {than}'s time" if than else ""
    if verdicts == {Verdict.SLOWER}:
        return f"the API is {_short_reach(values)} times slower{f' than {than}' if than else ''}"
    if verdicts == {Verdict.NO_DIFFERENCE}:
        return "the two are about equal"
    if verdicts == {Verdict.FASTER}:
        return f"the API is faster ({_short_reach(values)} times{of})"
    if verdicts <= {Verdict.NO_DIFFERENCE, Verdict.FASTER}:
        return f"the API is as fast or faster ({_short_reach(values)} times{of})"
    slower = sum(verdict is Verdict.SLOWER for _, verdict in found)
    said = f", slower in {slower} of {len(found)} cases" if slower else ""
    return f"{'the API' if than else 'it'} takes {_short_reach(values)} times{of}{said}"


# ---- one function a kind of finding


def pair(f: Figures) -> str:
    """How much slower one pair is."""
    where = f"With {f['threads']} threads" if f["many"] else "With this machine's threads"
    top, verdict = ("many", "many_verdict") if f["many"] else ("own", "own_verdict")
    times = f": {_seconds(f['other_s'])} s against {_seconds(f['base_s'])} s"
    return f"{where} the ratio API/executable is {judged(f[top], f[verdict])}{times}."


def why(f: Figures) -> str:
    """What took effect instead of what was asked for."""
    start = "NumberOfThreads in the parameter map is not read: the API" if f["unheeded"] == "yes" else "The API"
    units = f" and {_number(f['work_units'])} work units" if f["work_units"] else ""
    each = ", each with a histogram of its own to add up" if units and f["histograms"] == "yes" else ""
    base = f"; the executable with {_number(f['base_threads'])}" if f["base_threads"] else ""
    return f"{start} runs with {_number(f['threads'])} threads{units}{each}{base}."


def quick(f: Figures) -> str:
    """That it is a quick look, and what the full run adds."""
    work = f" of a shorter registration ({line(f['overrides'], 60)})" if f["overrides"] else ""
    blocks = counted(f["blocks"], "block") if isinstance(f["blocks"], int) else "few blocks"
    return f"A quick look: {blocks}{work}, too few for a verdict. In full: `{command('bench-all')}`"


def family(f: Figures) -> str:
    """How many verdicts would be wrong by chance."""
    together = "; those of the first table hold together at 95% on each machine" if f["headlines"] else ""
    number = f["verdicts"] if isinstance(f["verdicts"], int) else 0
    chance = f["by_chance"] if isinstance(f["by_chance"], float) else 0.0
    wrong = f"{chance:.1f}" if chance < 2 else f"{chance:.0f}"
    return f"Of {counted(number, 'verdict')} about {wrong} may be wrong by chance{together}."


def spread(f: Figures) -> str:
    """Which spread is larger."""
    return (
        f"The blocks differ more than the rounds inside them in {f['between_larger']} of {f['rows']} conditions "
        f"(median {_per_cent(f['between'])} between, {_per_cent(f['within'])} within)."
    )


def ladder(f: Figures) -> str:
    """From posted to cured."""
    where = f"With {f['threads']} threads" if f["threads"] else "With this machine's threads"
    start = f"{where}: {judged(f['posted'], f['posted_verdict'])} as posted"
    if not f["cure"]:
        return f"{start}; no setting that was measured makes it smaller."
    return f"{start}, {judged(f['cured'], f['cured_verdict'])} with {changes(str(f['cure']))}."


def order(f: Figures) -> str:
    """What the changes of one order make together."""
    share = ""
    if isinstance(f["share"], float):
        low, high = f["share_low"], f["share_high"]
        ends = f" [{low:.0%}, {high:.0%}]" if isinstance(low, float) and isinstance(high, float) else ""
        share = f", {f['share']:.0%}{ends} of the log of the posted ratio"
    names = ", then ".join(changes(one) for one in str(f["changes"]).split(", then "))
    return f"{names}: a factor of {_estimate(f['product'])}{share}; left is {judged(f['left'], f['left_verdict'])}."


def interaction(f: Figures) -> str:
    """That a change depends on what was changed before."""
    most, least = (
        f"{_estimate(f[end])} {'after ' + changes(str(f[f'{end}_after'])) if f[f'{end}_after'] else 'alone'}"
        for end in ("most", "least")
    )
    return f"{changes(str(f['change']))} divides the ratio by {most} and by {least}: the causes act on one another."


def threader(f: Figures) -> str:
    """What another threader does to the ratio."""
    if f["told"] == "yes":
        head = {"yes": "Yes, not by its work units alone", "no": "No, only by the work units that it makes"}
        return f"{head.get(str(f['answer']), _answer(f))}: told its threads, {f['threader']} {_divides(f)}."
    units = f" ({_number(f['units_before'])} work units become {_number(f['units'])})" if f["units"] else ""
    return f"{_answer(f)}: {f['threader']} instead of the default threader {_divides(f)}{units}."


def same_units(f: Figures) -> str:
    """The executable with as many work units as the API."""
    return f"With {_number(f['units'])} work units on both paths the ratio is {judged(f['ratio'], f['verdict'])}."


def memory(f: Figures) -> str:
    """What smaller histograms do."""
    return f"{_answer(f)}: a parameter file with {f['bins']} histogram bins {_divides(f)}."


def peaks(f: Figures) -> str:
    """Peak memory of both paths."""
    return (
        f"Peak memory: executable {_mebibytes(f['base_bytes'])}, API with its modules {_mebibytes(f['other_bytes'])}."
    )


def seen_threads(f: Figures) -> str:
    """Whether the ratio depends on the threads that ITK finds."""
    how = "told its threads" if f["told"] == "yes" else "as posted"
    return (
        f"{_answer(f)}: {how}, the ratio with {f['threads']} threads seen is {_estimate(f['factor'])} times that with "
        f"{_number(f['own'])} ({_difference(f)})."
    )


def jacobian(f: Figures) -> str:
    """Whether an affine transform in the same file is slowed down too."""
    beside = f"; the B-spline's is {judged(f['bspline'], f['bspline_verdict'])}" if f["bspline"] else ""
    return (
        f"{_answer(f)}: with an affine transform in its place the ratio is {judged(f['ratio'], f['verdict'])}{beside}."
    )


def fewer_bins(f: Figures) -> str:
    """What fewer bins do to a transform."""
    whose = {"bspline": "B-spline", "affine": "affine transform"}.get(str(f["transform"]), "transform")
    return f"For the {whose} a parameter file with {f['bins']} histogram bins {_divides(f)}."


def untold(f: Figures) -> str:
    """The executable without `-threads`."""
    told = f"`-threads {f['told']}`" if f["told"] else "it"
    return (
        f"With {_number(f['threads'])} threads seen, without `-threads` {judged(f['ratio'], f['verdict'])} times its "
        f"time with {told}."
    )


def stretch(f: Figures) -> str:
    """A run of releases that are slow, or that are not."""
    first, last = line(f["first"], 30), line(f["last"], 30)
    span = first if first == last else f"{first} to {last}"
    low, high = f["low"], f["high"]
    factor = reach([low, high]) if isinstance(low, float) and isinstance(high, float) else ""
    oldest = " (the oldest measured)" if f["oldest"] == "yes" else ""
    span = span.replace(first, first + oldest, 1)
    slow = "slow" if f["slow"] == "yes" else "not slow"
    return f"The posted call is {slow} in {span}: SetNumberOfThreads divides its time by {factor}."


def change(f: Figures) -> str:
    """From one release to the next."""
    besides = [
        f"{words} {_number(f[f'{name}_before'])} became {_number(f[name])}"
        for name, words in (("units", "work units"), ("threader", "threader"))
        if f[name] != f[f"{name}_before"]
    ]
    return (
        f"From {line(f['version_before'], 30)} to {line(f['version'], 30)} the factor went from "
        f"{_estimate(f['factor_before'])} to {_estimate(f['factor'])}{'; ' if besides else ''}{listed(besides)}."
    )


def advice(f: Figures) -> str:
    """The best measured setting."""
    crashed = (
        f" The same setting failed in condition {line(f['crashed'], 40)} here: try it first." if f["crashed"] else ""
    )
    each, base = _seconds(f["each_s"]), _seconds(f["base_each_s"])
    if f["batch"] == "yes":
        said = f"Many jobs, {f['jobs']} at a time: {each} s a registration, as many executables {base} s"
    else:
        said = f"One job at a time: {each} s a registration, the executable {base} s"
    return f"{said}; ratio {judged(f['ratio'], f['verdict'])}.{crashed}"


def pick(f: Figures) -> str:
    """What to pick for a use."""
    use = {"one": "one job", "many": "many jobs", "long": "a program that stays"}[str(f["use"])]
    return f"For {use}: {f['way']} ({_seconds(f['seconds'])} s)."


_SAID: dict[str, Callable[[Figures], str]] = {
    one.__name__: one
    for one in (
        *(pair, why, quick, family, spread, ladder, order, interaction, threader, same_units, memory, peaks),
        *(seen_threads, jacobian, fewer_bins, untold, stretch, change, advice, pick),
    )
}


# ---- figures


def _answer(f: Figures) -> str:
    return _ANSWERS[str(f["answer"])]


def _divides(f: Figures) -> str:
    """`divides the ratio by 3.4 [3.1, 3.6]`, or that no difference is seen."""
    found, verdict = f["factor"], f["verdict"]
    if verdict == Verdict.NO_DIFFERENCE:
        return f"makes no difference (factor {_estimate(found)})"
    if verdict == Verdict.FASTER and isinstance(found, Estimate):
        low, high = (1 / one if one else None for one in (found.high, found.low))
        return f"multiplies the ratio by {estimate(Estimate(1 / found.value, low, high))}"
    return f"divides the ratio by {_estimate(found)}"


def _difference(f: Figures) -> str:
    words = {Verdict.NO_DIFFERENCE: "no difference", Verdict.CANNOT_TELL: "too few blocks to tell"}
    return next((word for verdict, word in words.items() if f["verdict"] == verdict), "a difference")


def _estimate(value: object) -> str:
    return estimate(value if isinstance(value, Estimate) else None)


def _seconds(value: object) -> str:
    return seconds(value if isinstance(value, int | float) else None)


def _mebibytes(value: object) -> str:
    return mebibytes(value if isinstance(value, int | float) else None)


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) else line(value, 40)


def _per_cent(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, float) else line(value)
