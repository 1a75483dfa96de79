"""One sentence a kind of finding, for terminal, Markdown and page alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from repro.model import Estimate, Figures, Finding, Verdict
from repro.text import UNKNOWN, command, counted, estimate, line, listed, mebibytes, ratio, seconds

CHANGES = {
    "": "as posted",
    "threads": "SetNumberOfThreads",
    "pool": "the Pool threader",
    "platform": "the Platform threader",
    "tbb": "the TBB threader",
    "units": "as many work units for the executable",
    "bins": "fewer histogram bins",
}


def say(finding: Finding) -> str:
    """The finding as one sentence, or two short ones."""
    return _SAID[finding.kind](finding.figures)


def headline(pairs: Sequence[Finding]) -> str:
    """The answer to the post in one sentence, from the findings `pair` of all pairs and machines."""
    many, own, cured = (
        [(one.figures[name].value, one.figures[f"{name}_verdict"]) for one in pairs if one.figures[name]]
        for name in ("many", "own", "cured")
    )
    threads = sorted({one.figures["threads"] for one in pairs} - {None})
    if many:
        first = f"With {listed(map(str, threads))} threads {_clause(many, 'the executable')}"
    elif own:
        first = f"As posted, with this machine's threads, {_clause(own, 'the executable')}"
    else:
        return "Nothing was measured as posted yet."
    if cured:
        return f"{first}; with SetNumberOfThreads {_clause(cured)}."
    return f"{first}; with this machine's own threads {_clause(own)}." if many and own else f"{first}."


def _clause(found: Sequence[tuple[float, Verdict | None]], than: str = "") -> str:
    """What the ratios of all pairs say: `the API is 3.6 to 19 times slower than the executable`."""
    reached = _short_reach([value for value, _ in found])
    verdicts = {verdict for _, verdict in found}
    of = f" {than}'s time" if than else ""
    if verdicts == {Verdict.SLOWER}:
        return f"the API is {reached} times slower{f' than {than}' if than else ''}"
    if verdicts == {Verdict.NO_DIFFERENCE}:
        return "the two are about equal"
    if verdicts == {Verdict.FASTER}:
        return f"the API is faster ({reached} times{of})"
    if verdicts == {Verdict.NO_DIFFERENCE, Verdict.FASTER}:
        return f"the API is as fast or faster ({reached} times{of})"
    slower = sum(verdict is Verdict.SLOWER for _, verdict in found)
    said = f", slower in {slower} of {len(found)} cases" if slower else ""
    return f"{'the API' if than else 'it'} takes {reached} times{of}{said}"


def _short_reach(values: Sequence[float]) -> str:
    """`3.6 to 19`: two digits are enough for a headline."""
    low, high = (
        f"{end:.2f}" if end < 0.995 else f"{end:.1f}" if end < 9.95 else f"{end:,.0f}"
        for end in (min(values), max(values))
    )
    return low if low == high else f"{low} to {high}"


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


# ---- parts of sentences


def build(name: str | None) -> str:
    """`api 0.25.4` of `api:0.25.4`."""
    return line((name or "").replace(":", " ", 1), 40)


def changes(name: str) -> str:
    """A set of changes in words."""
    return " and ".join(CHANGES.get(one, line(one, 30)) for one in name.split("+"))


def verdict_words(verdict: Verdict | str | None) -> str:
    """The verdict; nothing where too few blocks give none, which the page says once."""
    return "" if verdict in (None, Verdict.CANNOT_TELL) else str(verdict)


def judged(found: Estimate | None, verdict: Verdict | str | None) -> str:
    """`14.4 [14, 14.9] (slower)`: a ratio that has a verdict never stands without it."""
    words = verdict_words(verdict)
    return f"{estimate(found)} ({words})" if words else estimate(found)


def reach(values: Sequence[float]) -> str:
    """`3.62 to 19.0`, or `3.62`."""
    low, high = ratio(min(values)), ratio(max(values))
    return low if low == high else f"{low} to {high}"


def per_cent(value: float | None) -> str:
    """`2.5%`."""
    return UNKNOWN if value is None else f"{value:.1%}"


def _answer(f: Figures) -> str:
    return {"yes": "Yes", "no": "No", "unclear": "Not clear", "unknown": "Too few blocks to say"}[f["answer"]]


def _divides(f: Figures) -> str:
    """`divides the ratio by 3.4 [3.1, 3.6]`, or that no difference is seen."""
    found, verdict = f["factor"], f["verdict"]
    if verdict == Verdict.NO_DIFFERENCE:
        return f"makes no difference (factor {estimate(found)})"
    if verdict == Verdict.FASTER and found:
        low, high = (1 / one if one else None for one in (found.high, found.low))
        return f"multiplies the ratio by {estimate(Estimate(1 / found.value, low, high))}"
    return f"divides the ratio by {estimate(found)}"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


# ---- one function a kind of finding


def _pair(f: Figures) -> str:
    where = f"With {f['threads']} threads" if f["many"] else "With this machine's threads"
    top = "many" if f["many"] else "own"
    times = f"{seconds(f['other_s'])} s against {seconds(f['base_s'])} s"
    return f"{where} the ratio API/executable is {judged(f[top], f[f'{top}_verdict'])}: {times}."


def _why(f: Figures) -> str:
    """What took effect instead of what was asked for."""
    start = "NumberOfThreads in the parameter map is not read: the API" if f["unheeded"] == "yes" else "The API"
    units = f" and {_number(f['work_units'])} work units" if f["work_units"] else ""
    each = ", each with a histogram of its own to add up" if units and f["histograms"] == "yes" else ""
    base = f"; the executable with {_number(f['base_threads'])}" if f["base_threads"] else ""
    return f"{start} runs with {_number(f['threads'])} threads{units}{each}{base}."


def _quick(f: Figures) -> str:
    work = f" of a shorter registration ({line(f['overrides'], 60)})" if f["overrides"] else ""
    blocks = "few blocks" if f["blocks"] is None else counted(f["blocks"], "block")
    return f"A quick look: {blocks}{work}, too few for a verdict. In full: `{command('bench-all')}`"


def _family(f: Figures) -> str:
    together = "; those of the first table hold together at 95% on each machine" if f["headlines"] else ""
    wrong = f"{f['by_chance']:.1f}" if f["by_chance"] < 2 else f"{f['by_chance']:.0f}"
    return f"Of {counted(f['verdicts'], 'verdict')} about {wrong} may be wrong by chance{together}."


def _spread(f: Figures) -> str:
    return (
        f"The blocks differ more than the rounds inside them in {f['between_larger']} of {f['rows']} conditions "
        f"(median {per_cent(f['between'])} between, {per_cent(f['within'])} within)."
    )


def _ladder(f: Figures) -> str:
    where = f"With {f['threads']} threads" if f["threads"] else "With this machine's threads"
    start = f"{where}: {judged(f['posted'], f['posted_verdict'])} as posted"
    if not f["cure"]:
        return f"{start}; no setting that was measured makes it smaller."
    return f"{start}, {judged(f['cured'], f['cured_verdict'])} with {changes(f['cure'])}."


def _end(f: Figures) -> str:
    """What changes make together."""
    share, low, high = f["share"], f["share_low"], f["share_high"]
    ends = "" if low is None or high is None else f" [{low:.0%}, {high:.0%}]"
    of_all = "" if share is None else f", {share:.0%}{ends} of the log of the posted ratio"
    left = judged(f["left"], f["left_verdict"])
    return f"{changes(f['changes'])}: a factor of {estimate(f['factor'])}{of_all}; left is {left}."


def _interaction(f: Figures) -> str:
    """That a change depends on what was changed before."""
    most, least = (
        f"{estimate(f[end])} {'after ' + changes(f[f'{end}_after']) if f[f'{end}_after'] else 'alone'}"
        for end in ("most", "least")
    )
    return f"{changes(f['change'])} divides the ratio by {most} and by {least}: the causes act on one another."


def _threader(f: Figures) -> str:
    if f["told"] == "yes":
        head = {"yes": "Yes, not by its work units alone", "no": "No, only by the work units that it makes"}
        return f"{head.get(f['answer'], _answer(f))}: told its threads, {f['threader']} {_divides(f)}."
    units = f" ({_number(f['units_before'])} work units become {_number(f['units'])})" if f["units"] else ""
    return f"{_answer(f)}: {f['threader']} instead of the default threader {_divides(f)}{units}."


def _same_units(f: Figures) -> str:
    return f"With {_number(f['units'])} work units on both paths the ratio is {judged(f['ratio'], f['verdict'])}."


def _memory(f: Figures) -> str:
    return f"{_answer(f)}: a parameter file with {f['bins']} histogram bins {_divides(f)}."


def _peaks(f: Figures) -> str:
    return f"Peak memory: executable {mebibytes(f['base_bytes'])}, API with its modules {mebibytes(f['other_bytes'])}."


def _seen_threads(f: Figures) -> str:
    how = "told its threads" if f["told"] == "yes" else "as posted"
    words = {Verdict.NO_DIFFERENCE: "no difference", Verdict.CANNOT_TELL: "too few blocks to tell"}
    return (
        f"{_answer(f)}: {how}, the ratio with {f['threads']} threads seen is {estimate(f['factor'])} times that with "
        f"{_number(f['own'])} ({words.get(f['verdict'], 'a difference')})."
    )


def _jacobian(f: Figures) -> str:
    """Whether an affine transform in the same file is slowed down too."""
    beside = f"; the B-spline's is {judged(f['bspline'], f['bspline_verdict'])}" if f["bspline"] else ""
    return (
        f"{_answer(f)}: with an affine transform in its place the ratio is {judged(f['ratio'], f['verdict'])}{beside}."
    )


def _fewer_bins(f: Figures) -> str:
    whose = {"bspline": "B-spline", "affine": "affine transform"}[f["transform"]]
    return f"For the {whose} a parameter file with {f['bins']} histogram bins {_divides(f)}."


def _untold(f: Figures) -> str:
    """The executable without `-threads`."""
    told = f"`-threads {f['told']}`" if f["told"] else "it"
    return (
        f"With {_number(f['threads'])} threads seen, without `-threads` {judged(f['ratio'], f['verdict'])} times its "
        f"time with {told}."
    )


def _stretch(f: Figures) -> str:
    """A run of releases that are slow, or that are not."""
    first, last = line(f["first"], 30), line(f["last"], 30)
    span = first + (" (the oldest measured)" if f["oldest"] == "yes" else "") + (f" to {last}" if first != last else "")
    slow = "slow" if f["slow"] == "yes" else "not slow"
    factor = reach([f["low"], f["high"]])
    return f"The posted call is {slow} in {span}: SetNumberOfThreads divides its time by {factor}."


def _change(f: Figures) -> str:
    """From one release to the next."""
    besides = []
    if f["units"] != f["units_before"]:
        besides.append(f"work units {_number(f['units_before'])} became {_number(f['units'])}")
    if f["threader"] != f["threader_before"]:
        besides.append(f"threader {line(f['threader_before'], 40)} became {line(f['threader'], 40)}")
    return (
        f"From {line(f['version_before'], 30)} to {line(f['version'], 30)} the factor went from "
        f"{estimate(f['factor_before'])} to {estimate(f['factor'])}{'; ' if besides else ''}{listed(besides)}."
    )


def _advice(f: Figures) -> str:
    """The best measured setting."""
    crashed = (
        f" The same setting failed in condition {line(f['crashed'], 40)} here: try it first." if f["crashed"] else ""
    )
    each, base = seconds(f["each_s"]), seconds(f["base_each_s"])
    if f["batch"] == "yes":
        said = f"Many jobs, {f['jobs']} at a time: {each} s a registration, as many executables {base} s"
    else:
        said = f"One job at a time: {each} s a registration, the executable {base} s"
    return f"{said}; ratio {judged(f['ratio'], f['verdict'])}.{crashed}"


def _pick(f: Figures) -> str:
    use = {"one": "one job", "many": "many jobs", "long": "a program that stays"}[f["use"]]
    return f"For {use}: {f['way']} ({seconds(f['seconds'])} s)."


_SAID: Mapping[str, Callable[[Figures], str]] = {
    one.__name__.removeprefix("_"): one
    for one in (
        *(_pair, _why, _quick, _family, _spread, _ladder, _end, _interaction, _threader, _same_units, _memory),
        *(_peaks, _seen_threads, _jacobian, _fewer_bins, _untold, _stretch, _change, _advice, _pick),
    )
}
