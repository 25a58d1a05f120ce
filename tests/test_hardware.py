"""Devices, precisions and memory: what is taken, what is refused, and that memory is kept and given back."""

import json
import sys
from pathlib import Path

import pytest
import torch
from processes import finish, start

from nin_helpers.hardware import autocast, is_out_of_memory, keep_memory, pick_device, pick_precision


def test_a_device_that_is_there_is_taken():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cuda", "mps", "cpu")


@pytest.mark.parametrize("bad", ["cuda:97", "mps:97", "nonsense", ""])
def test_an_absent_device_is_named_in_one_line(bad):
    with pytest.raises(ValueError, match=rf"^device={bad!r} cannot be used here \([^\n]*device='auto'[^\n]*$"):
        pick_device(bad)


def test_a_precision_that_is_given_is_taken_but_fp16_where_it_is_slow():
    assert pick_precision("fp16", torch.device("mps")) == "fp16"
    assert pick_precision("bf16", torch.device("cpu")) == "bf16"
    with pytest.raises(ValueError, match=r"^precision='fp16' is many times slower .* use 'auto', 'bf16' or 'fp32'"):
        pick_precision("fp16", torch.device("cpu"))


@pytest.mark.parametrize(
    "device, has_bf16, expected",
    [
        ("cpu", "nothing", "fp32"), ("cpu", "avx512_bf16", "bf16"), ("cpu", "amx_bf16", "bf16"),
        ("cuda", "gpu", "bf16"), ("cuda", "amx_bf16", "fp16"), ("mps", "amx_bf16", "fp32"),
    ],
)  # fmt: skip
def test_auto_takes_bf16_where_the_chip_computes_it_and_fp16_on_other_gpus(monkeypatch, device, has_bf16, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {has_bf16: True})
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16 == "gpu")
    assert pick_precision("auto", torch.device(device)) == expected


@pytest.mark.parametrize("precision, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.half)])
def test_products_are_computed_in_the_precision(precision, dtype):
    with autocast(torch.device("cpu"), precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(
    "error, expected",
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: it has 9 bytes"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("could not create a primitive"), True),  # oneDNN, without memory for its code
        (RuntimeError("could not create a primitive descriptor for a convolution forward propagation"), False),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_says_that_memory_is_full(error, expected):
    assert is_out_of_memory(error) is expected


def measure_faults(path):
    """Write how often the system is asked for pages, and how much memory is held, before and while it is kept."""
    import resource  # there is none on Windows

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.ones(16 * 2**20)  # 64 MiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

    torch.ones(1), resident()
    found = {"before": [faults(), resident()]}
    memory = keep_memory(torch.device("cpu"))
    faults()
    found["kept"] = [faults(), resident()]
    memory.close()
    path.write_text(json.dumps(found | {"after": resident()}))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's memory")
def test_memory_is_used_again_and_given_back_in_the_end(tmp_path):
    finish(start(measure_faults, tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["kept"][0] < found["before"][0] / 10, "the system was asked for new pages"
    assert found["kept"][1] > found["before"][1] + 48  # MiB
    assert found["after"] < found["before"][1] + 16
