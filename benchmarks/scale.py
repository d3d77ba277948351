"""Plays what large data take on many machines, of which some die: hours, disk, network, cost, and what is in the way.

python benchmarks/scale.py                       # Kinetics-700 and 100 million clips on 64 machines
python benchmarks/scale.py --machines 256 --hours-between-deaths 500 --prices prices.json
python benchmarks/scale.py --calibrate rates.json
python benchmarks/scale.py --validate

Preparing, training and scoring are played event by event: machines take videos, die, come back and start again. Rates
are those of one processor core and one training step here (--calibrate measures them anew), and prices are yours to
edit.
--validate sets real preparing, training and scoring by one and by two processes beside what is played for them.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from benchmarks.scaling.played import DATA, Data, Fleet, Prices, Rates, Stage, play
from benchmarks.scaling.rates import calibrated
from benchmarks.scaling.real import validated
from commands.files import write_json
from commands.options import positive
from commands.running import run
from commands.schema import read_json


def main(argv: Sequence[str] | None = None) -> None:
    """Plays the data sets on the machines that the command line describes, or measures rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=positive, default=Fleet.machines, metavar="N")
    parser.add_argument("--cores", type=positive, default=Fleet.cores, metavar="N", help="of each machine")
    parser.add_argument("--hours-between-deaths", type=float, default=Fleet.hours_between_deaths, metavar="N")
    parser.add_argument("--rates", type=Path, metavar="FILE", help="what --calibrate wrote, on a machine of yours")
    parser.add_argument("--prices", type=Path, metavar="FILE", help=f"JSON like {json.dumps(asdict(Prices()))}")
    parser.add_argument("--calibrate", type=Path, metavar="FILE", help="measure rates, and write them to FILE")
    parser.add_argument("--validate", action="store_true", help="compare real small runs with what is played")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args(argv)
    if options.calibrate or options.validate:
        found = calibrated() if options.calibrate else validated()
        if options.calibrate or options.json:
            write_json(options.calibrate or options.json, found)
        return
    rates = read_json(options.rates, Rates) if options.rates else Rates()
    prices = read_json(options.prices, Prices) if options.prices else Prices()
    fleet = Fleet(options.machines, options.cores, options.hours_between_deaths)
    played = {data.name: [asdict(each) for each in play(data, fleet, rates, options.seed)] for data in DATA}
    for data in DATA:
        _say(data, fleet, rates, prices, [Stage(**each) for each in played[data.name]])
    if options.json:
        write_json(options.json, played)


def _say(data: Data, fleet: Fleet, rates: Rates, prices: Prices, stages: Sequence[Stage]) -> None:
    size = data.videos * data.frames * rates.stored / 1e12
    hours = sum(stage.hours for stage in stages)
    cost = hours * fleet.machines * prices.machine_hour + size * 1000 * prices.gigabyte_month * prices.months
    print(
        f"{data.name}: {data.videos:,} videos of {data.frames} frames, {fleet.machines} machines of {fleet.cores} cores"
    )
    print(f"  {size:,.1f} TB of frames and flow; {hours:,.1f} hours in all; {cost:,.0f} by the prices")
    for each in stages:
        rate = size * 1e3 / (each.hours * 3600) if each.name == "prepare" else 0
        moved = f", {rate:.2f} GB/s written" if rate else ""
        print(
            f"  {each.name}: {each.hours:,.1f} hours, {each.deaths} deaths, {each.lost:.2%} lost to them{moved}; "
            f"in the way: {each.bottleneck}"
        )


if __name__ == "__main__":
    run(main)
