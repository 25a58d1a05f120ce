"""What the machine is and how it is used: device, precision, memory, and how a measured figure names them."""

import contextlib
import ctypes
import platform

import torch


def pick_device(name="auto"):
    """Return the torch.device called `name`; "auto" takes CUDA, else MPS, else the CPU. ValueError: not here."""
    if name == "auto":
        mps = torch.backends.mps.is_available()
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={name!r} cannot be used here ({reason}); device='auto' takes what there is"
        ) from error
    return device


def pick_precision(name, device):
    """Return "fp32", "bf16" or "fp16": `name`, or, for "auto", what makes `device` multiply fastest.

    That is bf16 where the chip has arithmetic for it, fp16 on an older CUDA GPU such as a T4, and otherwise FP32.
    ValueError: fp16 on a CPU, whose convolutions are then many times slower than in FP32.
    """
    if name == "fp16" and device.type == "cpu":
        raise ValueError("precision='fp16' is many times slower than FP32 on a CPU; use 'auto', 'bf16' or 'fp32'")
    if name != "auto":
        return name
    if device.type == "cuda":
        with torch.cuda.device(device) if torch.cuda.is_available() else contextlib.nullcontext():
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    chip = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return "bf16" if chip.get("avx512_bf16") or chip.get("amx_bf16") else "fp32"


def autocast(device, precision):
    """Return the context in which the layers compute in 16 bits, or, for "fp32", the one that changes nothing."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "fp32")


def is_out_of_memory(error):
    """Return whether `error` says that the memory of a device, or of this machine, is full."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    message = str(error).strip()
    parts = (
        "can't allocate memory",
        "not enough memory",
        "out of memory",
        "bad_alloc",
        "bad allocation",
        "ALLOC_FAILED",
    )
    full = message == "could not create a primitive" or any(part in message for part in parts)  # the former: oneDNN
    return isinstance(error, RuntimeError) and full


def keep_memory(device):
    """Let the process keep the memory that it frees until the result is closed; an ExitStack.

    On a CPU under Linux the memory of a large tensor comes new from the system each time, zeroed page by page, and that
    takes a good part of a training step. Here it is used again. Elsewhere, and on GPUs, whose memory PyTorch keeps
    anyway, this does nothing. Source: mallopt(3) of glibc.
    """
    stack = contextlib.ExitStack()
    if device.type == "cpu" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        trim_threshold, mmap_threshold, mmap_max = -1, -3, -4  # their numbers in malloc.h
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)
        stack.callback(release_memory, device)
        for option, value in ((mmap_max, 65536), (mmap_threshold, 32 * 2**20), (trim_threshold, 64 * 2**20)):
            stack.callback(libc.mallopt, option, value)  # what glibc grows to by itself
    return stack


def release_memory(device):
    """Give back to the system what this process keeps but does not use, of the memory of `device`."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def wait_for(device):
    """Wait until `device` has done what it was given; a CPU has, always."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
