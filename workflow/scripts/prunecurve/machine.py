"""What a trained network depends on besides config, code and data: the processor and the GPU.

Read from files of the system, because importing torch would delay each call of Snakemake by seconds.
"""

import glob
import hashlib
import os
import platform
import re
from pathlib import Path

CPU = "/proc/cpuinfo"
GPUS = "/proc/driver/nvidia/gpus/*/information"
# Lines of /proc/cpuinfo (x86, ARM). torch, oneDNN and OpenBLAS choose their code by them, and so the order of sums.
KIND = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU architecture", "CPU part")
INSTRUCTIONS = re.compile(r"sse\w*|ssse3|avx\w*|amx\w*|fma\w*|f16c|neon|asimd\w*|sve\w*|bf16|i8mm")
# With these variables a user chooses other instructions than the processor has.
CHOSEN = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "OPENBLAS_CORETYPE", "MKL_CBWR")


def gpus() -> list[str]:
    """Return the models of the NVIDIA GPUs that torch can see; empty if there is none."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        return []
    return re.findall(r"^Model:\s*(.+?)\s*$", "\n".join(map(system_file, sorted(glob.glob(GPUS)))), re.M)


def processor() -> list[str]:
    """Return what distinguishes processors that round differently: the kind and the vector instructions."""
    first = system_file(CPU).split("\n\n")[0]
    lines: dict[str, str] = dict(re.findall(r"^(.+?)\s*:\s*(.*)$", first, re.M))
    words = lines.get("flags", lines.get("Features", "")).split()
    flags = sorted(word for word in words if INSTRUCTIONS.fullmatch(word))
    kind = [f"{name}: {lines[name]}" for name in KIND if name in lines] or [platform.processor()]
    chosen = [f"{name}={os.environ[name]}" for name in CHOSEN if name in os.environ]
    return [platform.system(), platform.machine(), *kind, *flags, *chosen]


def machine(device: str) -> str:
    """Return 16 hexadecimal digits: machines with the same digits are assumed to train the same network.

    device: the config key. The GPU counts if the training uses one; then the processor counts too, because a part of
    the computation runs there.
    """
    parts = [*processor(), *(gpus() if device != "cpu" else [])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def system_file(path: str) -> str:
    """Return the text of a file of the system; empty if this system has no such file."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
