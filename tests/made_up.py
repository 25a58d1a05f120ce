"""Results whose figures are made up, for the tests of what reads them: where a run was made, and a benchmark's."""

from nin_helpers.throughput import Case

WHERE = {
    "device": "cpu", "device_name": "a chip", "threads": 2, "versions": {"python": "3", "torch": "2.99"},
    "command": "python -m made_up", "date": "2026-01-01",
}  # fmt: skip


def run(case, repeat, **figures):
    config = {"size": 224, "batch_size": 128, "steps": 2, "copies": 1, **case._asdict()}
    return {"repeat": repeat, "environment": WHERE, "config": config, **figures}


def made_up(rates, first=1, rounds=3, **more):
    """Return a result with these rates; the peak of memory grows to 1 GiB, what it takes to begin is told once."""
    runs = []
    for repeat in range(rounds):
        told = {"peak_bytes": (repeat + 1) * 2**29, "first_seconds": None if repeat else first} if repeat < 2 else {}
        runs += [run(case, repeat, images_per_second=values[repeat], **told) for case, values in rates.items()]
    limits = [
        run(Case("limits", precision), repeat, matrix_rate=1000 * (2 * repeat + number), memory_rate=1)
        for repeat in range(rounds)
        for number, precision in enumerate(("fp32", "bf16"), 1)
    ]
    return {"runs": runs, "limits": limits, "flops_per_image": 10, **more}
