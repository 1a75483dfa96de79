"""From raw lines to tables: one row a condition, with its ratio, floor, verdict, status and reasons as data."""

from __future__ import annotations

import dataclasses
import operator
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from repro import stats
from repro.model import (
    SIDES,
    TOLERANCE_PX,
    BatchCondition,
    Build,
    InspectionLine,
    Measurement,
    Reason,
    SessionLine,
    Side,
    Status,
    Verdict,
)
from repro.results.columns import BuildRow, Row, TrialRow, asked, write_reasons
from repro.results.effect import ArmEffect, Reasons, median
from repro.results.raw import ConditionRecord, Raw
from repro.results.tables import Tables

SAME_PX = 1e-6
"""Up to this distance two results are the same: what elastix's six digits after the point can tell."""
DISTURBED_CORES = 0.25
"""Cores kept busy by others from which a round is called disturbed."""
FLOOR_EXPERIMENT = "aa"
GRAVITY = list(Status)
"""The gravest last."""
_RoundKey = tuple[str, int, int]
"""Life, block, round."""
Round = Mapping[Side, Measurement]
Distance = tuple[float, float] | str
"""Mean and largest distance of two results in pixels, or why there is none."""
Findings = Iterator[tuple[Status | None, Reason, tuple[object, ...]]]
"""What a reader has to know, with the status that it gives the row."""


def compare(raw: Raw) -> Tables:
    """The tables of all that was measured; of conditions with the same names the last measured stands last."""
    conditions = [MeasuredCondition(record) for record in raw.records if record.measurements]
    conditions.sort(key=lambda one: one.order)
    found = [one.row() for one in conditions]
    floors = [row for row in found if _is_floor(row)]
    rows = [_judged(row, one, floors) for row, one in zip(found, conditions, strict=True)]
    measured = {(row.machine, row.comparison) for row in rows}
    rows += _unavailable(raw, measured)
    rows.sort(key=lambda row: (row.machine, natural(row.comparison)))
    return Tables(
        rows,
        [trial for one in conditions for trial in one.trial_rows()],
        _build_rows(conditions, raw.inspections),
        raw.sessions,
    )


def natural(text: str) -> list[tuple[int, str]]:
    """Sorts versions in names as people do: 0.25.4 before 0.25.10."""
    return [(len(part), part) if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", text)]


# ---- one condition


@dataclass(frozen=True)
class MeasuredCondition:
    """What was measured of a condition, put together: lives, rounds, distances, arms."""

    record: ConditionRecord

    @cached_property
    def order(self) -> tuple[Any, ...]:
        """Machine, names, then time."""
        line = self.record.line
        names = natural(line.comparison), line.experiment, natural(line.condition.name)
        return self.record.session.machine, *names, self.record.measurements[0].started_utc, line.key

    @cached_property
    def lives(self) -> dict[tuple[str, int], list[Measurement]]:
        """Life and block -> its trials, in the order of measuring."""
        found: dict[tuple[str, int], list[Measurement]] = {}
        for one in self.record.measurements:
            found.setdefault((one.life, one.block), []).append(one)
        return found

    @cached_property
    def counted(self) -> list[tuple[str, int]]:
        """The lives that count: whole ones; of a block without failures no others."""
        whole = {(one.life, one.block) for one in self.record.blocks} & self.lives.keys()
        good = {place for place in whole if all(one.status == "ok" for one in self.lives[place])}
        made_good = {block for _, block in good}
        return [place for place in self.lives if place in whole and (place in good or place[1] not in made_good)]

    @cached_property
    def rounds(self) -> Mapping[_RoundKey, Round]:
        """The good trials of the rounds in lives that count, by side; the warm-up is round 0."""
        found: dict[_RoundKey, dict[Side, Measurement]] = {}
        for place in self.counted:
            for one in self.lives[place]:
                if one.status == "ok" and one.phase != "start":
                    found.setdefault((*place, one.round), {})[one.side] = one
        return found

    @cached_property
    def log_ratios(self) -> dict[_RoundKey, float]:
        """Of each complete round that is measured."""
        seconds = {place: {side: one.wall_s or 0.0 for side, one in its.items()} for place, its in self.rounds.items()}
        found = {place: stats.round_log_ratio(its) for place, its in seconds.items() if place[2]}
        return {place: ratio for place, ratio in found.items() if ratio is not None}

    @cached_property
    def blocks(self) -> stats.Blocks:
        """Block, numbered in the order of measuring, to log ratios of its rounds."""
        found: dict[tuple[str, int], list[float]] = {place: [] for place in self.counted}
        for (life, block, _), ratio in self.log_ratios.items():
            found[life, block].append(ratio)
        return dict(enumerate(found.values(), 1))

    @cached_property
    def outliers(self) -> set[_RoundKey]:
        """Rounds whose log ratio lies far from the others'."""
        scores = stats.robust_z(list(self.log_ratios.values()))
        return {place for place, z in zip(self.log_ratios, scores, strict=True) if abs(z) > stats.OUTLIER_Z}

    @cached_property
    def disturbed(self) -> set[_RoundKey]:
        """Rounds during which other programs kept cores busy."""
        return {
            place
            for place, its in self.rounds.items()
            if place[2]
            and any((one.other_cores or 0) + (one.stolen_cores or 0) > DISTURBED_CORES for one in its.values())
        }

    @cached_property
    def distances(self) -> dict[_RoundKey, Distance]:
        """Mean and largest distance of the two results of each complete round, or why there is none.

        A comparison of two results holds for every round that gave those two, and a result is at distance 0 from
        itself.
        """
        compared: dict[tuple[str, ...], Distance] = {}
        for line in self.record.agreements:
            known = compared.get(line.digests, (0.0, -1.0))
            if line.problem or line.max_px is None:
                compared[line.digests] = line.problem or "no distance was measured"
            elif not isinstance(known, str):
                compared[line.digests] = max(known, (line.mean_px or 0.0, line.max_px), key=lambda one: one[1])
        found: dict[_RoundKey, Distance] = {}
        for place, its in self.rounds.items():
            if len(its) == 2:
                base, other = its["base"].result_digest, its["other"].result_digest
                same: Distance = (0.0, 0.0) if base and base == other else "they were not compared"
                found[place] = compared.get((base or "", other or ""), same)
        return found

    @cached_property
    def arms(self) -> Mapping[Side, ArmEffect]:
        """What took effect in each arm."""
        condition, cores = self.record.line.condition, _whole(self.record.session.fingerprint.get("logical_cores"))
        trials = {side: [its[side] for its in self.rounds.values() if side in its] for side in SIDES}
        return {
            side: ArmEffect(side, condition.arm(side), trials[side], condition.machine_threads, cores) for side in SIDES
        }

    def row(self) -> Row:
        """The row without floor, verdict, status and reasons."""
        line, session = self.record.line, self.record.session
        condition, found = line.condition, stats.estimate(self.blocks)
        cells: dict[str, Any] = {}
        for side, arm in self.arms.items():
            build = arm.arm.build
            its = (one.threads for one in self.record.measurements if one.side == side and one.threads)
            cells |= {
                side: build.name,
                f"{side}_digest": build.digest[:8],
                f"{side}_asked": asked(arm.arm.settings, next(its, None)),
                f"{side}_median_s": arm.median("wall_s"),
                f"{side}_threads": arm.threads,
                f"{side}_threader": arm.value("threader"),
                f"{side}_work_units": arm.work_units,
                f"{side}_peak_bytes": round(peak) if (peak := arm.median("peak_bytes")) else None,
            }
        distances = self._measured_distances()
        apart = [one for one in distances if not isinstance(one, str)]
        if len(apart) == len(distances) or any(one[1] > TOLERANCE_PX for one in apart):
            cells["agreement_px"] = max((one[1] for one in apart), default=None)
            cells["agreement_mean_px"] = max((one[0] for one in apart), default=None)
        if isinstance(condition, BatchCondition):
            cells["strategy"] = condition.strategy
            cells["jobs"] = max(one.jobs for one in self.record.measurements)
            cells["registrations"] = max(one.registrations for one in self.record.measurements)
        if found:
            cells |= {"ratio": found.value, "ratio_low": found.low, "ratio_high": found.high}
            cells |= {name: getattr(found, name) for name in ("interval", "between_sd", "within_sd")}
        return Row(
            **_machine(session),
            comparison=line.comparison,
            experiment=line.experiment,
            condition=condition.name,
            transform=line.inputs.transform or None,
            size_px="x".join(map(str, line.inputs.size_px)) or None,
            overrides="; ".join(f"{name}={value}" for name, value in condition.registration.overrides) or None,
            machine_threads=condition.machine_threads,
            blocks=sum(map(bool, self.blocks.values())),
            rounds=len(self.log_ratios),
            other_load_s=median(one.load_s for one in self.arms["other"].trials),
            key=line.key,
            **cells,
        )

    def _measured_distances(self) -> list[Distance]:
        return [its for place, its in self.distances.items() if place[2]]

    def findings(self, row: Row) -> Findings:
        """Status and reasons of a condition, the gravest first."""
        arms = self.arms.values()
        for arm in arms:
            for said in arm.wrong_versions():
                yield Status.MISMATCH, Reason.VERSION_MISMATCH, (arm.side, arm.arm.build.version, said)
        yield from self._failures(row)
        yield from self._apart(row)
        for reason, figures in chain(*(arm.unheeded() for arm in arms), self._disturbances()):
            yield None, reason, figures
        if _is_floor(row) and stats.verdict(row.estimate) in (Verdict.SLOWER, Verdict.FASTER):
            yield None, Reason.FLOOR_OFF_ONE, ()

    def _failures(self, row: Row) -> Findings:
        blocks = {block for _, block in self.counted}
        trials = [
            one for place, its in self.lives.items() if place in self.counted or place[1] not in blocks for one in its
        ]
        failed = [one for one in trials if one.status != "ok"]
        if failed:
            timeouts = all(one.status == "timeout" for one in failed)
            first = next((one.note for one in failed if one.note), "")
            figures = (len(failed), len(trials), first[:300])
            yield Status.TIMEOUT if timeouts else Status.FAILED, Reason.TRIALS_FAILED, figures
        ran = [side for side, arm in self.arms.items() if arm.measured]
        if len(ran) == 1:
            yield Status.PARTIAL, Reason.ONE_ARM, (ran[0],)
        elif (row.blocks or 0) < min(self.record.line.blocks, stats.MIN_BLOCKS):
            yield Status.PARTIAL, Reason.FEW_BLOCKS, (row.blocks,)

    def _apart(self, row: Row) -> Findings:
        """Whether the two arms did the same work, and why not."""
        problems = [one for one in self._measured_distances() if isinstance(one, str)]
        if problems:
            yield Status.NOT_COMPARED, Reason.NOT_COMPARED, (len(problems), min(problems))
        if row.agreement_px is None or row.agreement_px <= TOLERANCE_PX:
            return
        units, inputs = [arm.work_units for arm in self.arms.values()], self.record.line.inputs
        first_calls = [one for place, one in self.distances.items() if not place[2]]
        later = bool(first_calls) and all(not isinstance(one, str) and one[1] <= SAME_PX for one in first_calls)
        if None not in units and units[0] != units[1]:
            yield Status.EXPLAINED, Reason.UNEQUAL_WORK_UNITS, tuple(units)
        elif "fixed_mask" in inputs.masks and "Random" in inputs.sampler.split(" + "):
            yield Status.EXPLAINED, Reason.MASKED_RANDOM_SAMPLER, ()
        elif later and any(arm.draws_new_samples and arm.results > 1 for arm in self.arms.values()):
            yield Status.EXPLAINED, Reason.OTHER_SAMPLES, ()
        elif later:
            yield Status.DIFFERENT, Reason.LATER_CALLS_DIFFER, ()
        elif None in units:  # whether both did the same work is not known
            yield Status.NOT_COMPARED, Reason.WORK_UNITS_UNKNOWN, ()
        else:
            yield Status.DIFFERENT, Reason.RESULTS_APART, (row.agreement_px,)
            return
        yield None, Reason.RESULTS_APART, (row.agreement_px,)

    def _disturbances(self) -> Reasons:
        by_block = [statistics.median(rounds) for rounds in self.blocks.values() if rounds]
        drift = stats.drift(by_block)
        if drift and drift[1] < stats.DRIFT_P:
            yield Reason.DRIFT, (drift[0],)
        if self.outliers:
            yield Reason.OUTLIERS, (len(self.outliers),)
        if self.disturbed:
            yield Reason.DISTURBED, (len(self.disturbed),)

    def trial_rows(self) -> Iterator[TrialRow]:
        """The trials, life by life in the order of measuring."""
        line, machine, counted = self.record.line, self.record.session.machine, set(self.counted)
        builds = {side: line.condition.arm(side).build.name for side in SIDES}
        for place, trials in self.lives.items():
            for one in sorted(trials, key=lambda its: (its.phase != "start", its.round, its.position)):
                its_round = (*place, one.round)
                distance = self.distances.get(its_round)
                yield TrialRow(
                    machine=machine,
                    comparison=line.comparison,
                    experiment=line.experiment,
                    condition=line.condition.name,
                    whole=place in counted,
                    build=builds[one.side],
                    outlier=its_round in self.outliers if its_round in self.log_ratios else None,
                    said="; ".join(f"{name}={value}" for name, value in sorted(one.said.items())) or None,
                    resolutions_s=" ".join(f"{value:.6g}" for value in one.resolutions_s or ()) or None,
                    max_px=distance[1] if distance and not isinstance(distance, str) else None,
                    note=one.note or None,
                    **dict(zip(_AS_MEASURED, _as_measured(one), strict=True)),
                )


def _names(kind: type) -> set[str]:
    return {one.name for one in dataclasses.fields(kind)}


_AS_MEASURED = sorted(_names(TrialRow) & _names(Measurement) - {"said", "resolutions_s", "note"})
_as_measured = operator.attrgetter(*_AS_MEASURED)


def _judged(row: Row, condition: MeasuredCondition, floors: Sequence[Row]) -> Row:
    """The row with floor, verdict, status and reasons."""
    found = list(condition.findings(row))
    status = max((one for one, _, _ in found if one), key=GRAVITY.index, default=Status.OK)
    floor = _floor(row, floors)
    verdict = stats.verdict(row.estimate, floor) if row.estimate and status is not Status.MISMATCH else None
    return dataclasses.replace(
        row,
        floor_low=floor[0] if floor else None,
        floor_high=floor[1] if floor else None,
        verdict=verdict or Verdict.CANNOT_TELL,
        status=status,
        reason=write_reasons([(reason, figures) for _, reason, figures in found]) or None,
    )


# ---- the noise floor


def _is_floor(row: Row) -> bool:
    """Whether it is a build against itself, asked for the same."""
    return (row.base, row.base_digest, row.base_asked) == (row.other, row.other_digest, row.other_asked)


def _floor(row: Row, floors: Iterable[Row]) -> tuple[float, float] | None:
    """The hull of the intervals of both builds against themselves on this machine, of the row's kind.

    Best of the same condition, as `compare` measures it. Else of the experiment for it, which has two kinds: where ITK
    was made to see many threads (the slow condition), and where it was not (the small file). There a build that was not
    measured against itself has the floor of its path. A build against itself is no floor of itself.
    """
    here = [one for one in floors if one.machine == row.machine and one.key != row.key and one.ratio_low]
    builds = {(row.base, row.base_digest, row.base_path), (row.other, row.other_digest, row.other_path)}
    asked = {(row.base, row.base_digest, row.base_asked), (row.other, row.other_digest, row.other_asked)}
    used = [
        one
        for one in here
        if _registered(one) == _registered(row) and (one.base, one.base_digest, one.base_asked) in asked
    ]
    if not used and row.experiment != FLOOR_EXPERIMENT:
        slow = row.machine_threads is not None
        kind = [one for one in here if one.experiment == FLOOR_EXPERIMENT and (one.machine_threads is not None) == slow]
        for build, digest, path in builds:
            exact = [one for one in kind if (one.base, one.base_digest) == (build, digest)]
            used += exact or [one for one in kind if one.base_path == path]
    ends = [(one.ratio_low, one.ratio_high) for one in used if one.ratio_low and one.ratio_high]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


def _registered(row: Row) -> tuple[object, ...]:
    """What both arms had to do, and where."""
    its = row.experiment, row.condition, row.transform, row.size_px, row.overrides
    return *its, row.machine_threads, row.strategy, row.jobs, row.registrations


# ---- builds, and what cannot be had


def _unavailable(raw: Raw, measured: set[tuple[str, str]]) -> list[Row]:
    """One row for each machine and comparison that could not be had, with the latest reason."""
    found: dict[tuple[str, str], Row] = {}
    for session, line in sorted(raw.unavailable, key=lambda its: (its[0].started_utc, its[1].reason)):
        place = (session.machine, line.comparison)
        if place not in measured:
            found[place] = Row(
                **_machine(session),
                comparison=line.comparison,
                status=Status.UNAVAILABLE,
                reason=write_reasons([(Reason.UNAVAILABLE, (line.reason[:300],))]),
            )
    return list(found.values())


def _build_rows(conditions: Iterable[MeasuredCondition], inspections: Iterable[InspectionLine]) -> list[BuildRow]:
    """Each build of each machine once, by its digest: what its trials said, and its last inspection."""
    found: dict[tuple[str, Build], dict[str, Any]] = {}
    for condition in conditions:
        session = condition.record.session
        for arm in condition.arms.values():
            build = arm.arm.build
            cells = found.setdefault((session.machine, build), {})
            cells["source"] = _text(session.builds.get(build.name, {}).get("source")) or cells.get("source")
            for one in arm.trials:
                cells |= {name: one.said[name] for name in ("itk", "elastix", "python") if name in one.said}
    names = _names(BuildRow) & _names(InspectionLine) - {"machine", "build"}
    for line in inspections:
        cells = found.setdefault((line.machine, line.build), {})
        cells |= {name: value for name in names if (value := getattr(line, name)) not in (None, "")}
        cells["inspected_utc"] = line.started_utc
    ordered = sorted(found, key=lambda its: (its[0], natural(its[1].name), its))
    return [
        BuildRow(machine=machine, build=build.name, digest=build.digest, **found[machine, build])
        for machine, build in ordered
    ]


def _machine(session: SessionLine) -> dict[str, Any]:
    """The columns that say where."""
    facts = session.fingerprint
    return {
        "machine": session.machine,
        "platform": _text(facts.get("platform")),
        "cpu": _text(facts.get("cpu")),
        "physical_cores": _whole(facts.get("physical_cores")),
        "logical_cores": _whole(facts.get("logical_cores")),
    }


def _text(value: object) -> str | None:
    """A fact of a machine; its "unknown" is not known."""
    return value if isinstance(value, str) and value not in ("", "unknown") else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
