"""Damaged files on purpose: real recordings with some bytes changed, read until one of them misbehaves.

A reader may refuse a file with an AuricleError and nothing else: no other exception, no crash of the process, no hang,
and no memory beyond a small multiple of the file. As a script: `python tests/fuzz.py N FILE [FILE ...]` mutates the
files in turn, in a child process that is watched from outside.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

# What a mutated file of a few hundred kilobytes may need beyond what the process has: a claim of gigabytes must fail.
HEADROOM_BYTES = 400_000_000
LONGEST_S = 5.0
_EXTREMES = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\x00" * 8,
    b"\xff" * 8,
)
_TOKENS = (
    b"-1",
    b"0",
    b"99999999999999999999",
    b"1e308",
    b"nan",
    b"inf",
    b"",
    b"\x00",
    b"../../etc/passwd",
    b"\xc3\x28",
)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """One to four changes: flipped bits, extreme integers, tokens, cuts, repeats, holes."""
    data = bytearray(content)
    # Headers decide most, so half of the changes fall into the first two kilobytes.
    for _ in range(chance.randint(1, 4)):
        reach = len(data) if chance.random() < 0.5 else min(len(data), 2048)
        place = chance.randrange(max(1, reach))
        kind = chance.randrange(7)
        if kind == 0 and data:
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[place : place + 4] = chance.choice(_EXTREMES)
        elif kind == 2:
            data[place : place + chance.randint(0, 8)] = chance.choice(_TOKENS)
        elif kind == 3:
            del data[place:]
        elif kind == 4:
            length = chance.randint(1, 512)
            data[place:place] = data[place : place + length]
        elif kind == 5:
            del data[place : place + chance.randint(1, 64)]
        else:
            length = chance.randint(1, 64)
            data[place : place + length] = chance.randbytes(length)
    return bytes(data)


def reader_of(path: Path) -> Callable[[Path], object]:
    """What reads this kind of file."""
    from auricle.data.manifest import read_manifest
    from auricle.io import read
    from auricle.io.names import header_of
    from auricle.leads import STANDARD

    if path.suffix == ".csv":
        return read_manifest
    if path.suffix in {".h5", ".npy"} or (path.suffix == ".mat" and header_of(path) is None):
        return lambda file: read(file, rate_hz=500.0, leads=STANDARD)
    return read


def attack(path: Path, n: int, seed: int, on_each: Callable[[], None] = lambda: None) -> Counter[str]:
    """Read `n` mutations of one file, its header or signal file lying beside it as it was.

    Raises:
        AssertionError: a mutation did what no file may do; the message names the seed.
    """
    from auricle.errors import AuricleError

    outcome: Counter[str] = Counter()
    content, read = path.read_bytes(), reader_of(path)
    with tempfile.TemporaryDirectory() as folder:
        for mate in path.parent.glob(f"{path.stem}.*"):
            shutil.copy(mate, Path(folder) / mate.name)
        target = Path(folder) / path.name
        for number in range(n):
            target.write_bytes(mutate(content, random.Random(f"{path.name}/{seed}/{number}")))
            begun = time.perf_counter()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read(target)
                outcome["read"] += 1
            except AuricleError as error:
                outcome["refused" if "\n" not in str(error) else "refused in several lines"] += 1
            except BaseException as error:
                raise AssertionError(f"{path.name} {seed}/{number}: {type(error).__name__}: {error}") from error
            took = time.perf_counter() - begun
            assert took < LONGEST_S, f"{path.name} {seed}/{number}: took {took:.1f} s"
            on_each()
    return outcome


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + HEADROOM_BYTES, resource.RLIM_INFINITY))


def child(n: int, seed: int, files: list[str]) -> None:
    """Attack files in turn under a memory limit; what was done is said on standard output."""
    warm = [Path(name) for name in files]
    for path in warm:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader_of(path)(path)  # imports everything before the limit is set
    _limit_memory()
    signal.signal(signal.SIGALRM, lambda *_: os._exit(14))
    per_file = -(-n // len(warm))
    total: Counter[str] = Counter()
    for path in warm:
        total += attack(path, per_file, seed, lambda: signal.alarm(int(LONGEST_S) + 2) and None)
    signal.alarm(0)
    print(json.dumps(total))


def main() -> None:
    """Attack in one child process per file, and say what came of it."""
    n, files = int(sys.argv[1]), sys.argv[2:]
    total: Counter[str] = Counter()
    per_file = -(-n // len(files))
    for number, name in enumerate(files):
        command = [sys.executable, __file__, "--child", str(per_file), str(number), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}: the process ended with {done.returncode}\n{done.stderr[-1500:]}")
        total += Counter(json.loads(done.stdout))
        print(
            f"{sum(total.values()):7d} mutations, {total['refused']} refused, {total['read']} read: {name}", flush=True
        )


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    else:
        main()
